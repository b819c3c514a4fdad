"""Verifies a task token offline with PyJWT: verify_task_token.py JWKS_FILE TOKEN. Prints its claims as JSON.

Also makes sure that the library refuses the same token once it was changed: otherwise it would have verified nothing.
"""

import base64
import json
import sys

import jwt


def verify(keys, token):
    header = jwt.get_unverified_header(token)
    key = next(key for key in keys.keys if key.key_id == header["kid"])
    required = ["iss", "sub", "iat", "exp", "election", "fence"]
    return jwt.decode(token, key, algorithms=["EdDSA"], options={"require": required})


def forged(token):
    header, claims, signature = token.split(".")
    padded = claims + "=" * (-len(claims) % 4)
    changed = json.loads(base64.urlsafe_b64decode(padded)) | {"fence": 1}
    encoded = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    return f"{header}.{encoded}.{signature}"


def main():
    path, token = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        keys = jwt.PyJWKSet.from_dict(json.load(file))
    claims = verify(keys, token)
    try:
        verify(keys, forged(token))
    except jwt.InvalidSignatureError:
        print(json.dumps(claims))
    else:
        sys.exit("a forged token was accepted")


if __name__ == "__main__":
    main()
