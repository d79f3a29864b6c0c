"""deploy.sh in a checkout of its own, with tools that record what they are told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fakes import cluster

ROOT = Path(__file__).parents[2]
NAME = "worker-model-sync-tts"
OVERLAYS = {
    "dev": "namespace: voice-tts\nresources: [base]\nimages: [{name: worker-model-sync-tts, newTag: dev}]\n",
    "prod": "namespace: voice-tts\nresources: [base]\n"
    f"images: [{{name: {NAME}, newName: registry.example:5000/tts/{NAME}, newTag: 0.1.0}}]\n",
}
HEALTH = '{"status": "healthy", "checks": {"s3": {"status": "healthy", "reason": "", "since": 1795478400.0}}}\n'
DIFF = f"""\
+++ apps.v1.Deployment.voice-tts.{NAME}
-        image: registry.example/tts/{NAME}:v0.1.0
+        image: registry.example/tts/{NAME}:v0.2.0
"""


class Checkout:
    """deploy.sh, two overlays, git, and stubs of kubectl and docker."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copy(ROOT / "deploy.sh", root)
        for name, text in OVERLAYS.items():
            directory = root / "deploy" / "kubernetes" / "overlays" / name
            directory.mkdir(parents=True)
            (directory / "kustomization.yaml").write_text(text)
        self.tools = root / "tools"
        self.tools.mkdir()
        for tool in ("bash", "env", "dirname", "mkdir", "mktemp", "rm", "cat", "awk", "grep", "git"):
            (self.tools / tool).symlink_to(shutil.which(tool) or tool)
        for tool in ("kubectl", "docker"):
            self.add(tool)
        self.rules(**{"kubectl diff": (1, DIFF), "kubectl exec": (0, HEALTH)})
        (root / ".gitignore").write_text("*\n!deploy.sh\n")
        for command in ("init -q", "add deploy.sh", "commit -qm one", "tag v0.2.0"):
            self.git(*command.split())

    def git(self, *words: str) -> None:
        """Run git here, as somebody."""
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", *who, *words], cwd=self.root, check=True)

    def add(self, tool: str) -> None:
        """Put a stub on the PATH."""
        stub = self.tools / tool
        stub.write_text(f"#!{sys.executable}\n" + Path(cluster.__file__).read_text())
        stub.chmod(0o755)

    def rules(self, **rules: tuple[int, str]) -> None:
        """Say what calls print, and how they end."""
        (self.tools / "rules.json").write_text(json.dumps(rules))

    def deploy(self, options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run deploy.sh."""
        return subprocess.run(
            ["./deploy.sh", *options.split()],
            cwd=self.root, env={"PATH": str(self.tools)}, input=answer,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def calls(self) -> list[str]:
        """What the tools were told, in order; rendering left out, and the names of temporary directories."""
        path = self.tools / "calls"
        lines = [" ".join(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
        return [re.sub(r"\.cache/deploy\.\w+", "WORK", line) for line in lines if "kubectl kustomize" not in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout at a tagged commit."""
    return Checkout(tmp_path)


def test_dev_is_shown_applied_waited_for_and_asked_for_its_health(checkout: Checkout) -> None:
    done = checkout.deploy("-e dev")
    assert done.returncode == 0, done.stderr
    diff, apply, rollout, health = checkout.calls()
    assert diff == "kubectl diff --namespace voice-tts --filename WORK/manifests.yaml"
    assert apply == "kubectl apply --namespace voice-tts --filename WORK/manifests.yaml"
    assert rollout == f"kubectl rollout status --namespace voice-tts deployment/{NAME} --timeout 300s"
    assert health.startswith(f"kubectl exec --namespace voice-tts deployment/{NAME} -- python3 -c ")
    assert HEALTH in done.stdout
    assert f"deploy  {NAME}:dev" in done.stderr
    assert list((checkout.root / ".cache").iterdir()) == []


def test_build_and_push_name_the_image_by_its_commit(checkout: Checkout) -> None:
    done = checkout.deploy("-e dev -b -p -r registry.example:5000/tts/ -c kind -n other -w 0")
    assert done.returncode == 0, done.stderr
    image = f"registry.example:5000/tts/{NAME}:v0.2.0"
    diff, build, push, apply = checkout.calls()
    assert diff == "kubectl --context kind diff --namespace other --filename WORK/manifests.yaml"
    assert re.sub("[0-9a-f]{40}", "COMMIT", build) == (
        f"docker build --build-arg VERSION=v0.2.0 --build-arg REVISION=COMMIT --target worker --tag {image} ."
    )
    assert push == f"docker push {image}"
    assert apply == "kubectl --context kind apply --namespace other --filename WORK/manifests.yaml"


@pytest.mark.parametrize(
    ("options", "image", "namespace"),
    [
        ("-e dev", f"{NAME}:dev", "voice-tts"),
        ("-e dev -t 1", f"{NAME}:1", "voice-tts"),
        ("-e prod", f"registry.example:5000/tts/{NAME}:0.1.0", "voice-tts"),
        ("-e prod -t 1", f"registry.example:5000/tts/{NAME}:1", "voice-tts"),
        ("-e prod -r mirror.example", f"mirror.example/{NAME}:0.1.0", "voice-tts"),
        ("-e prod -n other", f"registry.example:5000/tts/{NAME}:0.1.0", "other"),
    ],
)
def test_a_dry_run_renders_and_changes_nothing(checkout: Checkout, options: str, image: str, namespace: str) -> None:
    name, _, tag = image.rpartition(":")
    done = checkout.deploy(f"{options} -d")
    assert done.returncode == 0, done.stderr
    assert done.stdout == cluster.MANIFEST.format(name=name, tag=tag, namespace=namespace)
    assert checkout.calls() == []


def test_a_dry_run_neither_builds_nor_pushes(checkout: Checkout) -> None:
    done = checkout.deploy("-e dev -d -b -p -r registry.example")
    assert f"image: registry.example/{NAME}:v0.2.0\n" in done.stdout
    assert checkout.calls() == []


def test_a_dry_run_checks_the_schemas_where_it_can(checkout: Checkout) -> None:
    checkout.add("kubernetes-validate")
    assert "valid by their schemas" in checkout.deploy("-e dev -d").stderr
    checkout.rules(**{"kubernetes-validate": (1, "")})
    done = checkout.deploy("-e dev -d")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "deploy.sh: the manifests are not valid")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_prod_is_asked_for(checkout: Checkout, answer: str, code: int) -> None:
    done = checkout.deploy("-e prod", answer)
    assert done.returncode == code
    assert DIFF in done.stdout
    assert any("apply" in call for call in checkout.calls()) == (code == 0)


def test_prod_is_not_asked_for_with_y(checkout: Checkout) -> None:
    assert checkout.deploy("-e prod -y").returncode == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("kubectl rollout", "not ready after 300 s"),
        ("kubectl exec", "rolled out, but not healthy"),
        ("kubectl apply", ""),
        ("docker build", ""),
    ],
)
def test_what_fails_ends_it(checkout: Checkout, call: str, message: str) -> None:
    checkout.rules(**{call: (3, ""), "kubectl diff": (1, DIFF)})
    done = checkout.deploy("-e dev -b")
    assert done.returncode != 0
    assert message in done.stderr
    assert checkout.calls()[-1].startswith(("kubectl get pods", call))


def test_a_difference_that_cannot_be_shown_stops_nothing(checkout: Checkout) -> None:
    checkout.rules(**{"kubectl diff": (2, "")})
    done = checkout.deploy("-e dev")
    assert done.returncode == 0
    assert "no difference can be shown" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("", 2, "say where to: -e dev or -e prod"),
        ("-e staging", 2, "say where to: -e dev or -e prod"),
        ("-e dev -p", 2, "-p needs a registry to push to: -r"),
        ("-e dev -w soon", 2, "-w soon is no number of seconds"),
        ("-e dev -x", 2, "there is no option -x"),
        ("-e dev -t", 2, "-t needs a value"),
        ("-e dev now", 2, "'now' is no option"),
    ],
)
def test_misuse_is_told_in_a_sentence(checkout: Checkout, options: str, code: int, message: str) -> None:
    done = checkout.deploy(options)
    assert (done.returncode, done.stderr) == (code, f"deploy.sh: {message}; ./deploy.sh -h shows the options\n")
    assert checkout.calls() == []


@pytest.mark.parametrize(("tool", "options"), [("kubectl", "-e dev"), ("docker", "-e dev -b"), ("git", "-e dev -b")])
def test_a_missing_tool_is_named(checkout: Checkout, tool: str, options: str) -> None:
    (checkout.tools / tool).unlink()
    done = checkout.deploy(options)
    assert done.returncode == 1
    assert done.stderr.startswith(f"deploy.sh: {tool} is not installed, and is needed to ")


def test_prod_gets_no_image_of_changes_that_no_commit_has(checkout: Checkout) -> None:
    with (checkout.root / "deploy.sh").open("a") as script:
        script.write("# changed\n")
    done = checkout.deploy("-e prod -b -y")
    assert done.returncode == 1
    assert "changes that no commit has" in done.stderr
    assert checkout.calls() == []


def test_the_transcript_in_the_docs_is_a_run(checkout: Checkout) -> None:
    rules = {
        "kubectl diff": (1, DIFF),
        "docker build": (0, "Successfully built\n"),
        "docker push": (0, "latest: pushed\n"),
        "kubectl apply": (0, f"configmap/{NAME} unchanged\ndeployment.apps/{NAME} configured\n"),
        "kubectl rollout": (0, f'deployment "{NAME}" successfully rolled out\n'),
        "kubectl exec": (0, HEALTH),
    }
    checkout.rules(**rules)
    command = "./deploy.sh -e prod -b -p -r registry.example/tts -y"
    done = subprocess.run(
        [*command.split()], cwd=checkout.root, env={"PATH": str(checkout.tools)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60,
    )  # fmt: skip
    transcript = textwrap.indent(f"$ {command}\n{done.stdout}", "    ")
    assert transcript in (ROOT / "docs" / "releasing.md").read_text(), transcript
