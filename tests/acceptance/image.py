"""An image built without containers: a Dockerfile's stages as folders, its RUN lines in a chroot, its base by debootstrap.

It knows FROM, RUN, COPY, ENV, WORKDIR, USER and CMD as deployments/docker/Dockerfile uses them, and refuses all else.
"""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.conftest import needed_program

AUTHORITIES, TRUSTED = "/etc/ssl/certs/ca-certificates.crt", "trusted-while-building.crt"
SUITES = {"debian:bookworm-slim": "bookworm"}


@dataclass(frozen=True)
class Stage:
    """A root folder, and what a process in it is started with."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    folder: str = "/"
    user: str = "0:0"
    command: tuple[str, ...] = ()

    def run(self, command: list[str], **given: str) -> subprocess.Popen[str]:
        """A process whose root is the stage's, as its user, with nothing of this one's environment."""
        group_user = ["--userspec", self.user, str(self.root)]
        words = [
            needed_program("chroot", "apt-get install coreutils"),
            *group_user,
            "/bin/sh",
            "-c",
            f"cd {self.folder} && exec {shlex.join(command)}",
        ]
        return subprocess.Popen(
            words, env=self.environment | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def build(dockerfile: Path, context: Path, folder: Path) -> Stage:
    """The last stage of a Dockerfile."""
    if os.geteuid():
        pytest.skip("a root folder is entered by root alone: run this test as root")
    needed_program("debootstrap", "apt-get install debootstrap")
    stages: dict[str, Stage] = {}
    now = Stage(folder)
    for line in instructions(dockerfile.read_text()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, *named = rest.split(" AS ")
            now = _from(base.strip(), stages, folder / f"stage-{len(stages)}")
            stages[named[0].strip() if named else str(len(stages))] = now
        else:
            now = _step(now, word, rest, context, stages)
            stages[list(stages)[-1]] = now
    return now


def instructions(text: str) -> list[str]:
    """The lines of a Dockerfile, without comments and with continued ones as one."""
    plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in plain.replace("\\\n", " ").splitlines() if line.strip()]


def _from(base: str, stages: dict[str, Stage], root: Path) -> Stage:
    if base in stages:
        subprocess.run(["cp", "-a", "--reflink=auto", stages[base].root, root], check=True)
        return replace(stages[base], root=root)
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", SUITES[base], str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Stage(root)


def _step(stage: Stage, word: str, rest: str, context: Path, stages: dict[str, Stage]) -> Stage:
    if word == "RUN":
        _run(stage, rest)
    elif word == "COPY":
        _copy(stage, rest.split(), context, stages)
    elif word == "ENV":
        return replace(
            stage, environment=stage.environment | dict(one.split("=", 1) for one in shlex.split(rest))
        )
    elif word == "WORKDIR":
        (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return replace(stage, folder=rest)
    elif word == "USER":
        return replace(stage, user=rest)
    elif word == "CMD":
        return replace(stage, command=tuple(json.loads(rest)))
    else:
        raise ValueError(f"{word} is no instruction that is known here: {rest}")
    return stage


def _run(stage: Stage, line: str) -> None:
    """A RUN line, which reaches the package registries that this machine reaches, and trusts whom it trusts."""
    for name in ("etc/resolv.conf", "etc/hosts"):
        shutil.copy(f"/{name}", stage.root / name)
    trusted = stage.root / TRUSTED
    shutil.copy(os.environ.get("SSL_CERT_FILE") or AUTHORITIES, trusted)
    names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    given = dict.fromkeys(names, f"/{TRUSTED}") | stage.environment | {"DEBIAN_FRONTEND": "noninteractive"}
    words = ["chroot", str(stage.root), "/bin/sh", "-ec", f"cd {stage.folder}; {line}"]
    done = subprocess.run(words, env=given, capture_output=True, text=True, check=False)
    trusted.unlink()
    assert done.returncode == 0, f"RUN {line}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"


def _copy(stage: Stage, words: list[str], context: Path, stages: dict[str, Stage]) -> None:
    of = context
    if words[0].startswith("--from="):
        of = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    place = stage.root / (Path(stage.folder) / target).as_posix().lstrip("/")
    for source in sources:
        path = of / source.lstrip("/")
        into = place / path.name if target.endswith("/") else place
        into.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(
                path, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(path, into)
