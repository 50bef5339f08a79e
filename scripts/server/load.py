"""Many clients side by side."""

import statistics
import threading
import time

from _server import Server, check, note, put, scans, segment, session

CLIENTS = 8
MEMORY_MIB = 1024

NAMES = ("liver", "spleen", "left kidney", "right kidney", "aorta", "stomach")


def calls(number, rounds):
    """The prompts of a client, one list of objects for each call. Every third client asks for much at once."""
    for turn in range(rounds):
        if number % 3 == 0:
            yield [{"text": NAMES[(number + turn + n) % len(NAMES)]} for n in range(3)]
        elif number % 3 == 1:
            yield [{"name": "box", "box": [20 + turn, 20, 5, 60, 60, 30 + number % 4]}]
        else:
            yield [{"name": "click", "points": [[40 + number, 35 + turn, 20, 1], [5, 5, 5, 0]]}]


def work(client, path, number, rounds):
    """Masks and seconds of each call of a client."""
    masks, seconds = [], []
    for objects in calls(number, rounds):
        start = time.monotonic()
        segment(client, path, *objects)
        seconds.append(time.monotonic() - start)
        answer = client.get(f"{path}/mask", params={"format": "nii"})
        answer.raise_for_status()
        masks.append(answer.content)
    return masks, seconds


def alone(server, images, rounds):
    """What each client gets if no other one is there."""
    masks = []
    for number, image in enumerate(images):
        with server.client() as client:
            path = session(client)
            put(client, path, image)
            masks.append(work(client, path, number, rounds)[0])
            client.delete(path)
    return masks


def together(server, images, rounds):
    """What they get side by side: masks, and the seconds of their calls."""
    found, errors = [None] * len(images), []
    begin = threading.Barrier(len(images))

    def run(number):
        try:
            with server.client() as client:
                path = session(client)
                begin.wait(60)
                put(client, path, images[number])
                found[number] = work(client, path, number, rounds)
                client.delete(path)
        except Exception as error:  # Whatever it is, it is a failure of the check.
            errors.append(f"client {number}: {error!r}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, errors


def run(rounds):
    images = scans(CLIENTS)
    with Server("--memory-mib", MEMORY_MIB, "--cache-mib", 64, "--max-sessions", CLIENTS) as server:
        base = server.memory_mib()
        expected = alone(server, images, rounds)
        found, errors = together(server, images, rounds)
        check(not errors, f"{CLIENTS} clients side by side: every request is answered", "; ".join(errors))
        if errors:
            return
        same = [number for number in range(CLIENTS) if found[number][0] != expected[number]]
        check(not same, f"{CLIENTS * rounds} masks are those of clients alone, byte for byte", f"not of clients {same}")
        different = {mask for masks, _ in found for mask in masks}
        check(len(different) >= CLIENTS, "and the clients' masks differ from each other", f"{len(different)} different ones")
        seconds = [seconds for _, seconds in found]
        mean = statistics.mean(second for each in seconds for second in each)
        longest = [max(each) for each in seconds]
        check(max(longest) < 4 * mean, "no client starves: its longest call is shorter than four times the mean")
        note(f"mean of a call {mean:.2f} s; longest of each client, over the mean: {' '.join(f'{one / mean:.1f}' for one in longest)}")
        most = server.memory_mib("VmHWM")
        check(most < base + MEMORY_MIB, f"memory at its most is below that at the start plus --memory-mib {MEMORY_MIB}")
        note(f"{base:.0f} MiB at the start, {most:.0f} MiB at its most")
        with server.client() as client:
            figures = client.get("/metrics").text
        check("\nsegvol_reserved_memory_bytes 0\n" in figures and "\nsegvol_sessions 0\n" in figures, "nothing stays reserved")
