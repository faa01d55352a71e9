"""
Divan, a campus chat: the reference backend of divan_obs_asgi.

    auth          demo sign-in, and who is calling
    presence      who was heard of lately, and who of them is near, kept in Redis
    people        who invites whom, and who are friends
    chat          what two friends say to each other, and how far the other has got it and read it
    rooms         what the members of a room say there
    activities    what people do for themselves
    leaderboards  who has said most in rooms, scored by the consumer of `events`, frozen by a job
    realtime      the Socket.IO namespace /chat, which pushes what happens
    messages      what chat and rooms keep in SQL
    storage       the two stores and their pools, `migrations` the tables, `unavailable` the answer where a store is
    backend       all of it in one ASGI app, with its observability
    app           that app for this process's environment

Metrics move where the thing happens, once it is stored: look for `counts`.

`python -m examples.divan` serves it; `python -m examples.divan.listen ROOM` listens to a room.
"""
