"""PyPI's prometheus-remote-writer: URL and time as arguments. Prints the status of each call."""

import json
import sys

from prometheus_remote_writer import RemoteWriter

url, second = sys.argv[1], int(sys.argv[2])
writer = RemoteWriter(f"{url}/api/v1/write", retries=0)


def send(*metrics):
    metrics = [{"metric": labels, "values": [value], "timestamps": [second * 1000]} for labels, value in metrics]
    try:
        return writer.send(metrics).last_response.status_code
    except (RuntimeError, ValueError) as error:
        return f"error: {error}"


print(json.dumps({
    "unsorted": send(({"__name__": "pypi_unsorted", "z": "1", "a": "2"}, 1.5)),
    "many": send(*(({"__name__": "pypi_many", "n": str(n), "host": "h"}, n) for n in range(3000))),
    "empty": send(({"__name__": "pypi_empty", "z": "1", "a": ""}, 3)),
}))
