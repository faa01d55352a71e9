"""
Divan, a campus chat: the reference backend of divan_obs_asgi. README.md shows it from outside.

A module a feature: `auth`, `presence`, `people`, `chat`, `rooms`, `activities`, `leaderboards`, each with its routes
and its metrics (`counts`), which move where the thing happens and once it is stored. Beside them `realtime` is the
Socket.IO side, `events` the stream that the leaderboards consume, `storage` the stores, `pages` the page to open first,
`backend` all of it in one app.

`python -m examples.divan` serves it; `python -m examples.divan.listen ROOM` listens to a room.
"""
