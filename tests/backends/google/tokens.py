"""Who asks: keys of service accounts, the tokens that they are exchanged for, and impersonation.

Source: RFC 7523, and Google's "Using OAuth 2.0 for Server to Server Applications".
"""

import jwt
from aiohttp import web

from tests.backends.google.answers import refused
from tests.backends.google.world import World

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token_routes(world: World) -> list[web.RouteDef]:
    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != GRANT:
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        assertion = str(form.get("assertion", ""))
        try:
            claimed = jwt.decode(assertion, options={"verify_signature": False})
            robot = world.robots[claimed["iss"]]
            jwt.decode(
                assertion,
                robot.public_key,
                algorithms=["RS256"],
                # Google's own clients name this address, wherever they send it.
                audience=["https://oauth2.googleapis.com/token", f"{world.url}/token"],
                options={"require": ["exp", "iat", "iss"]},
            )
        except (KeyError, jwt.PyJWTError):
            told = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return web.json_response(told, status=400)
        world.granted.append(robot.email)
        return web.json_response(
            {
                "access_token": world.new_token(robot.email),
                "expires_in": 3599,
                "token_type": "Bearer",
            }
        )

    async def impersonate(request: web.Request) -> web.Response:
        asks = world.who(request)
        email = request.match_info["email"]
        if email not in world.robots or (asks, email) not in world.may_become:
            raise refused(
                403, "Permission 'iam.serviceAccounts.getAccessToken' denied", "forbidden"
            )
        return web.json_response(
            {"accessToken": world.new_token(email), "expireTime": "2099-01-01T00:00:00Z"}
        )

    path = "/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
    return [web.post("/token", token), web.post(path, impersonate)]
