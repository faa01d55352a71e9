"""
Divan, a campus chat: the reference backend of divan_obs_asgi.

    auth       demo sign-in, and who is calling
    chat       messages and read marks of a room, kept in SQL
    presence   who was heard of lately, and who of them is near, kept in Redis
    realtime   the Socket.IO namespace /chat, which pushes what happens in a room
    storage    the two stores, and the migrations of the SQL one
    backend    all of it in one ASGI app, with its observability
    app        that app for this process's environment

`python -m examples.divan` serves it; `python -m examples.divan.listen ROOM` listens to a room.
"""
