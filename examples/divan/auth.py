"""Who is calling: demo tokens, and the dependency that reads them."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from examples.divan.parts import Database, Name, part


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode("ascii")


# The only header that is issued and accepted, so that no token chooses its own algorithm (RFC 8725, section 3.1).
_HEADER = _encoded(b'{"alg":"HS256","typ":"JWT"}')


class Tokens:
    """Issues and reads tokens: JWTs (RFC 7519), signed with HMAC-SHA256. With `secret` one can sign in as any user."""

    def __init__(self, secret: bytes, *, lifetime_s: float = 86_400.0, clock: Callable[[], float] = time.time) -> None:
        self._secret, self._lifetime_s, self._clock = secret, lifetime_s, clock

    def issue(self, name: str) -> str:
        """Return a token for the user called `name`."""
        claims = {"sub": name, "exp": int(self._clock() + self._lifetime_s)}
        return self._signed(f"{_HEADER}.{_encoded(json.dumps(claims).encode())}".encode()).decode()

    def name_of(self, token: str) -> str | None:
        """Return the user that `token` names, or None if it was not issued here or has expired."""
        given = token.encode("utf-8", "surrogatepass")  # a token may be any text
        # In constant time, and before anything in it is read.
        if not hmac.compare_digest(given, self._signed(given.rpartition(b".")[0])):
            return None
        header, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return claims.get("sub") if header == _HEADER and self._clock() < claims.get("exp", 0) else None

    def _signed(self, content: bytes) -> bytes:
        return content + b"." + _encoded(hmac.digest(self._secret, content, "sha256")).encode()


Issued = Annotated[Tokens, part("tokens")]
router = APIRouter(prefix="/auth", tags=["auth"])
_bearer = HTTPBearer(auto_error=False, description="The token of POST /auth/demo.")


@router.post("/demo", summary="Sign in under any name; the token is sent along as `Authorization: Bearer <token>`")
async def sign_in(name: Annotated[Name, Body(embed=True)], tokens: Issued, database: Database) -> dict[str, str]:
    # A user who has never signed in is not known.
    await database.execute("INSERT INTO people (name) VALUES (:name) ON CONFLICT DO NOTHING", {"name": name})
    return {"token": tokens.issue(name)}


async def caller(tokens: Issued, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """Return the name of the user who is calling."""
    name = tokens.name_of(credentials.credentials) if credentials else None
    if name is None:
        detail = "Sign in with POST /auth/demo and send its token as Authorization: Bearer <token>."
        raise HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})
    return name


Caller = Annotated[str, Depends(caller)]
