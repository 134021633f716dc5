"""Streams over gRPC with fetchsvc, from Python.

    stream.py download URL FILE   write what URL answers to FILE
    stream.py upload FILE URL     send FILE to URL by PUT
    stream.py events URL          print the events of a text/event-stream

It needs grpcio and the stubs that stubs.sh writes, on PYTHONPATH. FETCHSVC_SERVER
is the service's gRPC door, by default 127.0.0.1:9090.
"""

import os
import sys

import grpc
from fetchsvc.v1 import options_pb2, request_pb2, service_pb2_grpc, stream_pb2
from google.rpc import error_details_pb2, status_pb2

CHUNK = 64 << 10  # at most 1 MiB


def start(**request):
    """The first message of a stream."""
    return stream_pb2.StreamRequest(start=request_pb2.FetchRequest(**request))


def download(stub, url, path):
    """Streams a body to path. The file has its name only when it is complete."""
    answers = stub.Stream(iter([start(url=url, fail_on_status=True)]))
    with open(path + ".part", "wb") as file:
        for answer in answers:
            kind = answer.WhichOneof("message")
            if kind == "chunk":
                file.write(answer.chunk)
            elif kind == "end":
                os.rename(path + ".part", path)
                return answer.end


def upload(stub, path, url):
    """Streams a file to url. The request is whole only after `end`."""
    def messages():
        body = {"content_length": os.path.getsize(path)}
        yield start(method="PUT", url=url, stream=body)
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield stream_pb2.StreamRequest(chunk=chunk)
        yield stream_pb2.StreamRequest(end=stream_pb2.StreamRequestEnd())

    status = None
    for answer in stub.Stream(messages()):
        if answer.HasField("head"):
            status = answer.head.status
        if answer.HasField("end"):
            return status, answer.end


def events(stub, url):
    """Yields events as they come. Stopping early ends the call upstream too."""
    sse = options_pb2.Framing.SSE
    answers = stub.Stream(iter([start(url=url, framing=sse, fail_on_status=True)]))
    try:
        for answer in answers:
            if answer.HasField("event"):
                yield answer.event
    finally:
        answers.cancel()


def reason(err):
    """The kind of a failed call, such as IDLE_TIMEOUT; see docs/errors.md."""
    for key, value in err.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return err.code().name  # not from fetchsvc: it could not be reached


def main(command, *args):
    server = os.environ.get("FETCHSVC_SERVER", "127.0.0.1:9090")
    with grpc.insecure_channel(server) as channel:
        stub = service_pb2_grpc.FetchServiceStub(channel)
        try:
            if command == "download":
                end = download(stub, *args)
                print(end.bytes_received, "bytes received")
            elif command == "upload":
                status, end = upload(stub, *args)
                print("status", status, "for", end.bytes_sent, "bytes")
            elif command == "events":
                for event in events(stub, *args):
                    print(event.event or "message", event.data, flush=True)
            else:
                sys.exit(__doc__)
        except grpc.RpcError as err:
            sys.exit(f"{reason(err)}: {err.details()}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["help"]))
