"""Calls a gateway with botocore: cases as JSON on stdin, results as JSON on stdout.

A member that this botocore does not know yet is left out of a case's input and output; "sent" and "expected" are what is left.
"""

import base64
import datetime
import json
import sys

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.response import StreamingBody


def prune(shape, value):
    """What of `value` the shape knows."""
    if shape.type_name == "structure":
        return {k: prune(shape.members[k], v) for k, v in value.items() if k in shape.members}
    if shape.type_name == "list":
        return [prune(shape.member, v) for v in value]
    if shape.type_name == "map":
        return {k: prune(shape.value, v) for k, v in value.items()}
    return value


def to_python(shape, value):
    """botocore takes bytes for blobs."""
    if shape.type_name == "structure":
        return {k: to_python(shape.members[k], v) for k, v in value.items()}
    if shape.type_name == "list":
        return [to_python(shape.member, v) for v in value]
    if shape.type_name == "blob":
        return base64.b64decode(value)
    return value


def to_json(value):
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, list):
        return [to_json(v) for v in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, StreamingBody):
        value = value.read()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def call(client, case):
    name = case["operation"]
    model = client.meta.service_model.operation_model(name)
    sent = prune(model.input_shape, case["input"]) if model.input_shape else {}
    expected = prune(model.output_shape, case["output"]) if model.output_shape else {}
    arguments = to_python(model.input_shape, sent) if sent else {}
    if name == "RunInstances":
        # botocore encodes user data by itself for this one operation.
        arguments["UserData"] = base64.b64decode(arguments["UserData"]).decode()
    if name == "GetConsoleOutput" and "Output" in expected:
        # ... and decodes this output; a text that is not base64 stays as it is.
        try:
            expected["Output"] = base64.b64decode(expected["Output"]).decode("latin-1")
        except ValueError:
            pass
    result = {"sent": sent, "expected": expected, "parsed": None, "error": None}
    try:
        method = client._PY_TO_OP_NAME
        python_name = next(python for python, operation in method.items() if operation == name)
        result["parsed"] = to_json(getattr(client, python_name)(**arguments))
    except ClientError as error:
        result["error"] = str(error)
    return result


def main():
    work = json.load(sys.stdin)
    session = botocore.session.Session()
    clients = {}
    for service in {case["service"] for case in work["cases"]}:
        clients[service] = session.create_client(
            service,
            region_name=work["region"],
            endpoint_url=work["endpoint"],
            verify=work["ca"],
            aws_access_key_id=work["key_id"],
            aws_secret_access_key=work["secret"],
            config=Config(retries={"max_attempts": 0}),
        )
    json.dump([call(clients[case["service"]], case) for case in work["cases"]], sys.stdout)


main()
