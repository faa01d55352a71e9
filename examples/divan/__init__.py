"""
Divan, a campus chat: the reference backend of divan_obs_asgi. README.md shows it from outside.

Each feature has a module: `auth`, `presence`, `people`, `chat`, `rooms`, `activities`, `leaderboards`. A module has the
routes of its feature and its metrics (`counts`), which are incremented once the thing is stored. `realtime` is the
Socket.IO side, `events` the stream that the leaderboards consume, `storage` the stores, `pages` the page to open first,
and `backend` puts all of it into one app.

`python -m examples.divan` serves it; `python -m examples.divan.listen ROOM` listens to a room.
"""
