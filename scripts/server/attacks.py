"""What attackers send, against real servers. After each of it, others are served."""

import contextlib
import json
import socket
import threading
import time
from urllib.parse import quote

from _server import (
    AUTHORIZATION,
    TOKEN,
    Server,
    attempt,
    check,
    note,
    prompts,
    put,
    received,
    scans,
    segment,
    session,
    status_of,
)
from hostile_files import MEMORY_MIB, MIB, UPLOAD_MIB, bombs, outside_files

# What the document leaves out: figures, KServe's protocol, nnInteractive's.
OTHER_ROUTES = [
    *(("GET", route) for route in ("/metrics", "/v1/openapi.json", "/v2", "/v2/models/segvol", "/v2/models/segvol/ready")),
    ("POST", "/v2/models/segvol/infer"),
    *(("GET", route) for route in ("/capabilities", "/lease_status")),
    *(("POST", route) for route in ("/claim", "/release", "/heartbeat", "/undo", "/predict", "/reset_interactions")),
    *(("POST", route) for route in ("/set_image", "/set_target_buffer", "/set_do_autozoom")),
    *(("POST", f"/add_{kind}_interaction") for kind in ("bbox", "point", "scribble", "lasso", "initial_seg")),
]


def tokens(server):
    """Every route of the document, and what the document leaves out."""
    with server.client() as client:
        document = client.get("/v1/openapi.json").json()
        path = session(client)
        routes = [(method.upper(), path_) for path_, methods in document["paths"].items() for method in methods]
        routes += OTHER_ROUTES
        presented = ["", "Authorization: Bearer", f"Authorization: Bearer {TOKEN[:-1]}", f"Authorization: Bearer {TOKEN}0"]
        presented += [f"Authorization: Basic {TOKEN}", f"{AUTHORIZATION}\r\n{AUTHORIZATION}", "Authorization: Bearer " + "0" * 32]
        wrong = []
        for method, route in routes:
            target = route.replace("/v1/sessions/{id}", path)
            for header in presented:
                body = b'{"schema_version":1,"objects":[]}'
                lines = [line for line in [header, f"Content-Length: {len(body)}"] if line]
                answer = server.exchange(server.request(f"{method} {target}", *lines, body=body, token=False))
                if status_of(answer) != 401 or b"www-authenticate: bearer" not in answer.lower() or TOKEN.encode() in answer:
                    wrong.append(f"{method} {route} with {header!r}: {answer[:100]}")
        check(not wrong, f"{len(routes)} routes refuse {len(presented)} wrong tokens with 401 and WWW-Authenticate", "; ".join(wrong[:3]))
        check(client.get(path).status_code == 200, "and the session is as it was")
        client.delete(path)


def foreign_sessions(server):
    with server.client() as client:
        path = session(client)
        known = path.rsplit("/", 1)[1]
        names = [
            "0" * 32,
            known[:-1],
            known + "0",
            known.upper(),
            known[:31] + "%00",
            "..",
            "%2e%2e",
            "*",
            "",
            "%ff",
            "a" * 5000,
            "{id}",
            "-1",
        ]
        found = {name[:40]: client.get(f"/v1/sessions/{name}").status_code for name in names if name not in ("..",)}
        right = {name: status in (400, 404, 405, 414) for name, status in found.items() if name != known.upper() or known.isdigit()}
        check(all(right.values()), "names of sessions that are none: 404", str(found))
        answer = client.get("/v1/sessions/%ff")
        is_json = answer.headers["content-type"] == "application/json" and "error" in answer.text
        check(is_json, "a path that is not UTF-8 is an error as all others", f"{answer.headers['content-type']}: {answer.text[:80]}")
        client.delete(path)


def lengths(server):
    with server.client() as client:
        path = session(client)
    target = f"PUT {path}/scan"
    for what, headers, body, right in [
        ("Content-Length of 2^62", ["Content-Length: 4611686018427387904"], b"x", {413}),
        ("Content-Length beyond 64 bits", ["Content-Length: 99999999999999999999999"], b"x", {400, 413}),
        ("negative Content-Length", ["Content-Length: -1"], b"", {400}),
        ("two different Content-Lengths", ["Content-Length: 5", "Content-Length: 6"], b"hello!", {400}),
        ("Content-Length and chunks", ["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n", {400, 422}),
        ("a chunk of 2^60", ["Transfer-Encoding: chunked"], b"1000000000000000\r\nx", {400, 408, 413}),
        ("a chunk without a size", ["Transfer-Encoding: chunked"], b"zz\r\nhello\r\n", {400}),
        ("an unknown transfer encoding", ["Transfer-Encoding: gzip"], b"x", {400, 411, 501}),
    ]:
        with server.connect() as connection:
            connection.sendall(server.request(target, *headers, body=body))
            if what == "a chunk of 2^60":
                connection.shutdown(1)
            answer = received(connection, 5)
        check(status_of(answer) in right, f"{what}: {' or '.join(map(str, sorted(right)))}", str(answer[:120]))
    # More than is allowed, in chunks: the server stops to read.
    sent = 0
    with server.connect() as connection:
        connection.sendall(server.request(target, "Transfer-Encoding: chunked"))
        try:
            while sent < 4 * UPLOAD_MIB * MIB:
                connection.sendall(b"100000\r\n" + bytes(MIB) + b"\r\n")
                sent += MIB
        except OSError:
            pass
        answer = received(connection, 5)
    is_cut = sent < 4 * UPLOAD_MIB * MIB
    check(status_of(answer) in (413, 0) and is_cut, "chunks without end are cut after the limit", f"{sent // MIB} MiB, {answer[:80]}")
    # A body that is shorter than it says.
    with server.connect() as connection:
        connection.sendall(server.request(target, "Content-Length: 1000", body=b"x" * 10))
        connection.shutdown(1)
        answer = received(connection, 5)
    check(status_of(answer) in (400, 0), "a body that ends too early: 400, or nothing", str(answer[:80]))
    documents = server.request(f"PUT {path}/objects", f"Content-Length: {5 * MIB}")
    check(status_of(server.exchange(documents)) == 413, "prompts of 5 MiB: 413")
    check(server.files() == [], "nothing of them stays in the folders", str(server.files()))


def paths(server):
    """Paths that climb out of what is served."""
    wrong = {}
    targets = [
        "/../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/assets/../../etc/passwd",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/etc/passwd",
    ]
    for target in [*targets, "//etc/passwd", "/v1/../../etc/passwd", "/assets/%2fetc%2fpasswd", "/assets/....//etc/passwd"]:
        answer = server.exchange(server.request(f"GET {target}"))
        if status_of(answer) not in (400, 404) or b"root:" in answer:
            wrong[target] = answer[:80]
    check(not wrong, "paths that climb out: 404", str(wrong))


def names(server):
    """Names of objects that are script, or break lines."""
    script = "<script>alert(1)</script>\r\nSet-Cookie: a=b\u202e\0"
    with server.client() as client:
        path = session(client)
        put(client, path, scans(1)[0])
        answer = client.put(f"{path}/objects", json=prompts({"name": script, "points": [[40, 40, 20, 1]]}))
        answers = [answer]
        if answer.status_code == 200:
            answers += [client.post(f"{path}/segment"), client.get(path), client.get(f"{path}/report")]
            answers += [client.get(f"{path}/mask", params={"format": kind}) for kind in ("nii.gz", "seg.nrrd", "nrrd", "mha")]
        answers += [
            client.get(f"{path}/mask", params={"format": script}),
            client.get(f"{path}/{quote(script)}"),
            client.get("/" + quote(script)),
        ]
        answers += [client.put(f"{path}/scan", params={"series": script, "affine": script}, content=b"x")]
        is_safe = [
            "html" not in one.headers.get("content-type", "")
            and one.headers.get("x-content-type-options") == "nosniff"
            and "set-cookie" not in one.headers
            and one.status_code < 500
            for one in answers
        ]
        which = [
            (one.request.url.path[-20:], one.status_code, dict(one.headers)) for one, safe in zip(answers, is_safe, strict=True) if not safe
        ]
        check(
            all(is_safe),
            f"script and line breaks in names: {len(answers)} answers, none HTML, none with a header of theirs",
            str(which[:2]),
        )
        client.delete(path)
        log = server.log.read_text(errors="replace")
        check(
            not any(text in log for text in ("<script>", "Set-Cookie", TOKEN, path.rsplit("/", 1)[1])),
            "the log has no names, token or session",
        )
    for what, line in [
        ("query", "GET /v1/server?a=%0d%0aSet-Cookie:%20a=b"),
        ("path", "GET /%0d%0aSet-Cookie:%20a=b"),
        ("fragment", "GET /#\rx"),
    ]:
        answer = server.exchange(server.request(line))
        check(
            b"\r\nset-cookie" not in answer.lower() and status_of(answer) in (0, 200, 400, 404),
            f"line breaks in the {what}",
            str(answer[:100]),
        )


def sites(server):
    """A browser says where a request comes from."""
    with server.client() as client:
        other = [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://{server.address[0]}:1"},
            {"Sec-Fetch-Site": "cross-site"},
        ]
        for headers in other:
            found = [client.request(method, "/v1/sessions", headers=headers).status_code for method in ("POST", "OPTIONS", "GET")]
            check(found == [403] * 3, f"{headers}: 403", str(found))
        answer = client.get("/v1/server", headers={"Origin": server.url})
        check(
            answer.status_code == 200 and not any(name.startswith("access-control") for name in answer.headers),
            "its own origin: 200, without CORS",
        )
    with Server(token=None) as open_server:
        with open_server.client() as client:
            hosts = {
                host: client.get("/v1/server", headers={"Host": host}).status_code
                for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80")
            }
            check(set(hosts.values()) == {403}, "without a token, other names in Host: 403", str(hosts))
            answer = client.get("/health/live", headers={"Host": "evil.example"})
            local = client.get("/v1/server", headers={"Host": "localhost:1"}).status_code
            check(local == 200, "and localhost: 200", str(local))


def odd_requests(server):
    """Bytes that are no HTTP, or an unusual kind of it."""
    for what, data in {
        "random bytes": bytes(range(256)) * 20,
        "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(160),
        "HTTP/2 without an upgrade": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "an unknown method": server.request("BREW /v1/server"),
        "no Host": f"GET /v1/server HTTP/1.1\r\n{AUTHORIZATION}\r\nConnection: close\r\n\r\n".encode(),
        "HTTP/3.0": b"GET / HTTP/3.0\r\n\r\n",
        "a line without end": b"GET /" + b"a" * 300_000,
        "1 MiB of headers": server.request("GET /v1/server", *(f"X-{n}: {'a' * 1000}" for n in range(1000))),
        "10,000 headers": server.request("GET /v1/server", *(f"X{n}: a" for n in range(10_000))),
        "a folded header": server.request("GET /v1/server", "X-A: b\r\n c"),
        "a NUL in a header": server.request("GET /v1/server", "X-A: b\0c"),
        "an absolute target of another site": server.request("GET http://evil.example/v1/server", token=False),
        "CONNECT": server.request("CONNECT evil.example:443"),
    }.items():
        answer = server.exchange(data, 2)
        is_right = status_of(answer) < 500 and not (
            status_of(answer) == 200 and what not in ("an unknown method", "no Host", "a folded header")
        )
        check(is_right and server.is_well(), f"{what}: {status_of(answer) or 'closed'}, and others are served", str(answer[:100]))
    request = server.request("GET /v1/server")
    with server.connect() as connection:
        for at in range(len(request)):
            connection.sendall(request[at : at + 1])
        check(status_of(received(connection, 5)) == 200, "a request that arrives byte by byte: 200")
    one = f"GET /health/live HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()
    answer = server.exchange(one * 99 + server.request("GET /health/live"))
    check(answer.count(b"HTTP/1.1 200 OK") == 100, "100 requests in one go: 100 answers", str(answer.count(b"HTTP/1.1 200 OK")))
    deep = ("[" * 100_000).encode()
    with server.client() as client:
        path = session(client)
        found = {
            what: client.put(f"{path}/objects", content=data)
            for what, data in {
                "100,000 brackets": deep,
                "not UTF-8": b"\xff\xfe",
                "NaN": b'{"schema_version":1,"objects":[{"points":[[NaN,1,1,1]]}]}',
                "1e999": b'{"schema_version":1,"objects":[{"points":[[1e999,1,1,1]]}]}',
                "256 objects": json.dumps(prompts(*[{"text": "liver"}] * 256)).encode(),
                "a point far outside": b"",
            }.items()
        }
        check(
            {one.status_code for one in found.values()} == {422},
            "prompts that are none: 422",
            str({what: one.status_code for what, one in found.items()}),
        )
        client.delete(path)


def slow(server):
    """Slow clients, several at once; others are served meanwhile."""
    with server.client() as client:
        start = time.monotonic()
        dripping = [server.connect() for _ in range(40)]
        silent = [server.connect() for _ in range(40)]
        bodies = [server.connect() for _ in range(20)]
        for connection in bodies:
            path = session(client)
            connection.sendall(server.request(f"PUT {path}/scan", "Content-Length: 100000"))
        again = client.put(f"{path}/scan", content=b"x")
        check(again.status_code == 409 and "upload_running" in again.text, "a second upload of one session: 409", again.text)
        well = []
        while time.monotonic() - start < 33:
            for connection in dripping:
                try:
                    connection.sendall(b"G" if time.monotonic() - start < 1 else b"E")
                except OSError:
                    pass
            well.append(server.is_well())
            time.sleep(1)
        check(all(well), "100 slow connections: others are served at once", f"{well.count(False)} of {len(well)} times not")
        for what, connections in (("silent", silent), ("slow with headers", dripping)):
            closed = sum(status_of(one) in (0, 408) and ended for one, ended in map(ending, connections))
            check(closed == len(connections), f"connections that are {what} are closed after 30 s", f"{closed} of {len(connections)}")
        statuses = [status_of(ending(connection)[0]) for connection in bodies]
        check(set(statuses) == {408}, "bodies that do not come: 408 after 30 s", str(statuses))


def ending(connection):
    """What came on a connection, and whether the server has closed it."""
    connection.settimeout(2)
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
        ended = True
    except TimeoutError:
        ended = False
    except OSError:
        ended = True
    connection.close()
    return b"".join(parts), ended


def is_served_within(server, seconds):
    """Whether a new connection is served, and after how long."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            if status_of(server.exchange(server.request("GET /health/live"), seconds)) == 200:
                return True, time.monotonic() - start
        except OSError:
            pass
        time.sleep(1)
    return False, time.monotonic() - start


def many_connections(server):
    """More connections than the server takes, which say nothing."""
    connections = [server.connect() for _ in range(300)]
    is_served, seconds = is_served_within(server, 60)
    check(is_served, "300 silent connections: the next one is served when they are closed", f"not within {seconds:.0f} s")
    note(f"after {seconds:.0f} s")
    for connection in connections:
        connection.close()
    time.sleep(0.5)
    check(server.is_well(), "and at once when they are gone")


def never_read(server):
    """More connections than the server takes, whose clients ask and never read."""
    request = f"GET /v1/openapi.json HTTP/1.1\r\nHost: {server.host}\r\n{AUTHORIZATION}\r\n\r\n".encode()
    connections = []
    for _ in range(280):
        connection = socket.socket()
        # The smallest buffer that there is.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.connect(server.address)
        connection.sendall(request * 100)
        connections.append(connection)
    # They are closed 30 seconds after the last byte that the kernel's buffers took, which are slow when there are so many.
    is_served, seconds = is_served_within(server, 90)
    check(is_served, "280 clients that never read: the next one is served when they are closed", f"not within {seconds:.0f} s")
    note(f"after {seconds:.0f} s; {server.memory_mib('VmHWM'):.0f} MiB at its most")
    for connection in connections:
        connection.close()


def run():
    limits = ("--max-upload-mib", UPLOAD_MIB, "--memory-mib", MEMORY_MIB, "--cache-mib", 32, "--max-sessions", 32)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(*limits))
        # These wait, and need no processor.
        patient = [(function, stack.enter_context(Server(*limits))) for function in (slow, many_connections, never_read)]
        waiting = [threading.Thread(target=attempt, args=args) for args in patient]
        for thread in waiting:
            thread.start()
        for attack in (tokens, foreign_sessions, lengths, bombs, outside_files, paths, names, sites, odd_requests):
            attempt(attack, server)
            check(server.is_well(), f"after {attack.__name__}, the server answers")
        with server.client() as client:
            path = session(client)
            put(client, path, scans(1)[0])
            segment(client, path, {"text": "liver"})
        for thread in waiting:
            thread.join()
