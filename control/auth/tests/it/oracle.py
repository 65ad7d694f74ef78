"""Signs the cases given as JSON on stdin with botocore, at a fixed time; prints what would go over the wire."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KINDS = {
    "header": botocore.auth.SigV4Auth,
    "s3-header": botocore.auth.S3SigV4Auth,
    "query": botocore.auth.SigV4QueryAuth,
    "s3-query": botocore.auth.S3SigV4QueryAuth,
}


def main():
    work = json.load(sys.stdin)
    when = datetime.datetime.strptime(work["time"], "%Y%m%dT%H%M%SZ")
    botocore.auth.get_current_datetime = lambda *args, **kwargs: when
    signed = []
    for case in work["cases"]:
        credentials = Credentials(work["key"], work["secret"], case.get("token"))
        request = AWSRequest(case["method"], case["url"], case["headers"], case["body"].encode())
        KINDS[case["kind"]](credentials, case["service"], work["region"]).add_auth(request)
        signed.append({"url": request.url, "headers": dict(request.headers.items())})
    json.dump(signed, sys.stdout)


main()
