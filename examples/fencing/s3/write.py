"""Writes standard input with the fencing token of `leasehold run`: write.py BUCKET KEY."""

import json
import os
import sys

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
place = {"Bucket": sys.argv[1], "Key": sys.argv[2]}


def read():
    """What the object holds, and the condition that it still does."""
    try:
        found = s3.get_object(**place)
    except s3.exceptions.NoSuchKey:
        return {"fence": 0, "content": ""}, {"IfNoneMatch": "*"}
    return json.load(found["Body"]), {"IfMatch": found["ETag"]}


def write(held, condition):
    """Replaces the object if the condition holds; the condition for the next write."""
    try:
        return {"IfMatch": s3.put_object(**place, Body=json.dumps(held), **condition)["ETag"]}
    except ClientError as error:
        # 404: the object is gone; 409: another write is under way; 412: another one was faster.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 409, 412):
            sys.exit(f"refused: another leader has written: {error}")
        raise


token = int(os.environ["LEASEHOLD_FENCING_TOKEN"])
held, condition = read()
if held["fence"] > token:
    sys.exit(f"stale fencing token {token}: {held['fence']} has written")
# The claim: from here on no former leader's condition holds.
condition = write(held | {"fence": token}, condition)
content = sys.stdin.read()
write({"fence": token, "content": content}, condition)
