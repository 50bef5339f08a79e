"""How a server ends, and what stays."""

import socket
import threading
import time

from _server import AUTHORIZATION, Server, attempt, check, nifti, note, phantom, prompts, put, received, session

OBJECTS = [{"text": name} for name in ("liver", "spleen", "left kidney", "right kidney", "aorta", "stomach")]


def half_an_upload(server, path, scan):
    """A connection on which half of a scan has been sent."""
    connection = server.connect()
    head = f"PUT {path}/scan HTTP/1.1\r\nHost: {server.host}\r\n{AUTHORIZATION}\r\nContent-Length: {len(scan)}\r\n\r\n"
    connection.sendall(head.encode() + scan[: len(scan) // 2])
    return connection


def stream(server, path, events):
    """Follows a call, and notes the names of its events, and `closed` at the end."""

    def follow():
        try:
            with server.client() as client:
                headers = {"Accept": "text/event-stream"}
                with client.stream("POST", f"{path}/segment", json=prompts(*OBJECTS), headers=headers) as answer:
                    events.extend(line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: "))
        except Exception as error:  # A connection that is cut, for example.
            events.append(repr(error))
        events.append("closed")

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def killed(scan):
    with Server() as server:
        with server.client() as client:
            upload = half_an_upload(server, session(client), scan)
            path = session(client)
            put(client, path, scan)
            follow = stream(server, path, [])
            time.sleep(0.3)
        server.kill()
        follow.join()
        upload.close()
        check(server.files() == [], "kill -9 during an upload and a call leaves no file", str(server.files()))


def terminated(scan):
    with Server() as server:
        with server.client() as client:
            paths = [session(client) for _ in range(2)]
            for path in paths:
                put(client, path, scan)
            idle = server.connect()
            events = [[], []]
            threads = [stream(server, path, each) for path, each in zip(paths, events, strict=True)]
            time.sleep(0.2)
            code, seconds = server.terminate(20)
            for thread in threads:
                thread.join()
        check(code == 0 and seconds < 10, "SIGTERM during two calls: exit code 0 within 10 s", f"code {code}, {seconds:.1f} s")
        lasts = [each[-2:] for each in events]
        check(all(last in (["error", "closed"], ["done", "closed"]) for last in lasts), "their streams get a last event", str(lasts))
        note(f"{seconds:.1f} s; last events {lasts}")
        check(server.files() == [], "no file stays", str(server.files()))
        idle.close()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                again.bind(server.address)
                is_free = True
            except OSError:
                is_free = False
        check(is_free, "the port is free")


def terminated_during_an_upload(scan):
    with Server() as server:
        with server.client() as client:
            upload = half_an_upload(server, session(client), scan)
            time.sleep(0.2)
            code, seconds = server.terminate(30)
        received(upload, 1)
        upload.close()
        check(code == 0 and seconds < 10, "SIGTERM while an upload hangs: exit code 0 within 10 s", f"code {code}, {seconds:.1f} s")
        note(f"{seconds:.1f} s")
        check(server.files() == [], "no file stays of it", str(server.files()))


def run():
    scan = nifti(*phantom())
    waits = threading.Thread(target=attempt, args=(terminated_during_an_upload, scan))
    waits.start()
    attempt(killed, scan)
    attempt(terminated, scan)
    waits.join()
