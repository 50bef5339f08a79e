"""The OpenAPI document, and whether the server does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from _server import TOKEN, Server, check, note
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = Path(__file__).parent


def run(examples):
    # Sessions are never deleted by most scenarios, and a full server is not the question here.
    with Server("--max-sessions", 10_000, "--max-queue", 10_000, "--cache-mib", 8) as server:
        with server.client() as client:
            document = client.get("/v1/openapi.json").json()
        faults = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
        check(not faults, "the document is valid OpenAPI 3.1", "; ".join(faults[:3]))
        command = [
            Path(sys.executable).parent / "schemathesis",
            "--config-file",
            HERE / "schemathesis.toml",
            "run",
            f"{server.url}/v1/openapi.json",
        ]
        options = ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", examples, "--continue-on-failure", "--no-color"]
        seed = [] if os.environ.get("SEED") is None else ["--seed", os.environ["SEED"]]
        environment = dict(os.environ, SCHEMATHESIS_HOOKS="scans_as_bodies", PYTHONPATH=str(HERE))
        command = list(map(str, [*command, *options, *seed, "--generation-database", "none"]))
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=server.folder)
        said = done.stdout.replace(TOKEN, "TOKEN") + done.stderr
        check(done.returncode == 0, "schemathesis finds nothing that the document does not say")
        if done.returncode != 0:
            print(said[said.find("== FAILURES") :])
        note("; ".join(line.strip() for line in re.findall(r"^.*(?:generated,|Scenarios:|API Links:|Seed:).*$", said, re.M)))
        check(server.is_well(), "the server answers after that")
