"""Thousands of requests in flat memory."""

import threading

from _server import Server, check, note, prompts, put, scans, segment, session

THREADS = 4
# Growth that is no leak: every thread's allocator takes its room once, and each session fills its history.
FIRST_MIB = 24
# And in the last two fifths, where so many requests have come before that all of them have done so.
LATE_MIB = 6
STEADY = 50_000
# Per cent of the requests, and how many looks end there, of which the least counts: the allocators hold some MiB more or less at each
# moment, a leak is in all of them.
LOOKS = ((20, 3), (60, 5), (100, 5))


def mixed(client, path, number, images):
    """One request of many kinds, right and wrong ones. Its statuses that are right."""
    kind = number % 20
    if number % 100 == 99:
        put(client, path, images[number // 100 % len(images)])
        segment(client, path, {"text": ("liver", "spleen", "aorta")[number // 100 % 3]})
        return client.get(f"{path}/mask"), {200}
    if kind < 4:
        return client.get(path), {200}
    if kind < 6:
        return client.get("/v1/server"), {200}
    if kind < 8:
        return client.put(f"{path}/objects", json=prompts({"name": f"object {number}", "points": [[number % 50, 9, 9, 1]]})), {200}
    if kind == 8:
        return client.post(f"{path}/undo"), {200, 409}
    if kind == 9:
        return client.post(f"{path}/redo"), {200, 409}
    if kind == 10:
        return client.get(f"{path}/mask/region"), {200, 204, 409}
    if kind == 11:
        return client.get("/metrics"), {200}
    if kind == 12:
        return client.get(f"/v1/sessions/{number:032x}"), {404}
    if kind == 13:
        return client.get(f"/not/there/{number}"), {404}
    if kind == 14:
        return client.put(f"{path}/objects", content=b"{" * 1000), {422}
    if kind == 15:
        other = session(client)
        return client.delete(other), {204}
    if kind == 16:
        return client.get("/v1/names", headers={"Authorization": f"Bearer {number}"}), {401}
    return client.post(f"{path}/heartbeat"), {204}


def run(requests):
    images = scans(3)
    wrong, share = [], requests // THREADS
    # Each time right after a mask, so that sessions hold the same.
    places = [[(share * percent // 100 // 100 - back) * 100 - 1 for back in range(count)] for percent, count in LOOKS]
    looks = {at: [] for together in places for at in together}
    with Server("--cache-mib", 64, "--max-sessions", 64, "--memory-mib", 1024) as server:
        # All have come so far, and wait: only then the memory is looked at.
        barriers = {at: threading.Barrier(THREADS, action=lambda seen=seen: seen.append(server.memory_mib())) for at, seen in looks.items()}

        def work(first):
            try:
                with server.client() as client:
                    path = session(client)
                    for number in range(share):
                        answer, right = mixed(client, path, first * share + number, images)
                        if answer.status_code not in right:
                            wrong.append(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
                        if number in barriers:
                            barriers[number].wait(120)
                    client.delete(path)
            except Exception as error:  # Whatever it is, it is a failure of the check.
                wrong.append(repr(error))
                for barrier in barriers.values():
                    barrier.abort()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(not wrong, f"{requests} requests are answered as they should be", f"{len(wrong)}, first {wrong[:2]}")
        if not all(looks.values()):
            return
        fifth, later, end = (min(looks[at][0] for at in together) for together in places)
        check(end <= fifth + FIRST_MIB, f"memory at their end is at most {FIRST_MIB} MiB more than after a fifth of them")
        if requests >= STEADY:
            check(end <= later + LATE_MIB, f"and at most {LATE_MIB} MiB more than after three fifths")
        note(f"{fifth:.1f} MiB after a fifth, {later:.1f} MiB after three fifths, {end:.1f} MiB at the end")
        check(server.files() == [], "no file stays in the folders", str(server.files()))
