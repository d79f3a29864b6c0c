"""deploy.sh in a checkout of its own, with tools that record what they are told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from fakes import cluster
from support.checkout import CONTEXT, DIFF, HEALTH, NAME, Checkout, make
from support.manifests import kustomize
from support.pages import show, shown
from support.required import cannot
from support.worker import Setting

ROOT = Path(__file__).parents[2]
NO_NAMESPACE = {"other": {"first": ""}}
"""One that is named by -n is not made."""
KUBE = f"kubectl --context {CONTEXT} --namespace voice-tts"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that each test gets a copy of."""
    return make(tmp_path_factory.mktemp("deploy") / "checkout")


@pytest.fixture
def checkout(made: Path, tmp_path: Path) -> Checkout:
    """A checkout at a tagged commit."""
    return Checkout(shutil.copytree(made, tmp_path / "checkout", symlinks=True))


def test_dev_is_shown_applied_waited_for_and_asked_for_its_health(checkout: Checkout) -> None:
    done = checkout.deploy("-e dev")
    assert done.returncode == 0, done.stderr
    diff, apply, rollout, health = checkout.calls()
    assert diff == f"{KUBE} diff --filename WORK/manifests.yaml"
    assert apply == f"{KUBE} apply --filename WORK/manifests.yaml"
    assert rollout == f"{KUBE} rollout status deployment/{NAME} --timeout 300s"
    assert health.startswith(f"{KUBE} exec deployment/{NAME} -- python3 -c ")
    assert done.stdout.startswith(DIFF)
    assert done.stdout.endswith(HEALTH)
    assert done.stderr.splitlines() == [
        f"{NAME} → dev, namespace voice-tts, context {CONTEXT}",
        f"  deploy  {NAME}:dev: 3 objects of deploy/kubernetes/overlays/dev",
        "  wait    300 s for the rollout, then show the health",
    ]
    assert list((checkout.root / ".cache").iterdir()) == []


def test_the_health_is_the_workers(checkout: Checkout, setting: Setting) -> None:
    checkout.deploy("-e dev")
    *_, question = json.loads((checkout.tools / "calls").read_text().splitlines()[-1])
    ask = [sys.executable, "-c", question]
    worker = setting.start()
    worker.wait_ready()
    here = os.environ | {"HTTP_PORT": worker.url.rpartition(":")[2]}
    done = subprocess.run(ask, env=here, capture_output=True, text=True, timeout=60, check=True)
    first, *checks = done.stdout.splitlines()
    assert first == "health: healthy"
    assert "  s3: healthy, the bucket answers" in checks


def test_build_and_push_name_the_image_by_its_commit(checkout: Checkout) -> None:
    done = checkout.deploy("-e dev -b -p -r registry.example:5000/tts/ -c kind -n other -w 0")
    assert done.returncode == 0, done.stderr
    image = f"registry.example:5000/tts/{NAME}:0.2.0"
    diff, build, push, apply = checkout.calls()
    assert diff == "kubectl --context kind --namespace other diff --filename WORK/manifests.yaml"
    assert re.sub("[0-9a-f]{40}", "COMMIT", build) == (
        f"docker build --build-arg VERSION=0.2.0 --build-arg REVISION=COMMIT --target worker --tag {image} ."
    )
    assert push == f"docker push {image}"
    assert apply == "kubectl --context kind --namespace other apply --filename WORK/manifests.yaml"


def test_the_image_is_built_on_the_base_that_is_named(checkout: Checkout) -> None:
    assert checkout.deploy("-e dev -b", BASE_IMAGE="mirror.example/python:3.12").returncode == 0
    assert checkout.calls()[1].startswith("docker build --build-arg BASE_IMAGE=mirror.example/python:3.12 --build-arg")


@pytest.mark.parametrize(
    ("tools", "named", "builder"),
    [("docker podman", "", "docker"), ("docker podman", "podman", "podman"), ("podman", "", "podman")],
)
def test_docker_builds_or_what_is_named_or_podman(checkout: Checkout, tools: str, named: str, builder: str) -> None:
    checkout.remove("docker")
    for tool in tools.split():
        checkout.add(tool)
    assert checkout.deploy("-e dev -b", CONTAINER_TOOL=named).returncode == 0
    assert checkout.calls()[1].startswith(f"{builder} build ")


@pytest.mark.parametrize(
    ("options", "image", "namespace"),
    [
        ("-e dev", f"{NAME}:dev", "voice-tts"),
        ("-e dev -t 1", f"{NAME}:1", "voice-tts"),
        ("-e prod", f"registry.example:5000/tts/{NAME}:0.1.0", "voice-tts"),
        ("-e prod -t 1", f"registry.example:5000/tts/{NAME}:1", "voice-tts"),
        ("-e prod -r mirror.example", f"mirror.example/{NAME}:0.1.0", "voice-tts"),
        ("-e prod -n other", f"registry.example:5000/tts/{NAME}:0.1.0", "other"),
        ("-e prod -b -p -r mirror.example", f"mirror.example/{NAME}:0.2.0", "voice-tts"),
    ],
)
def test_a_dry_run_renders_and_changes_nothing(checkout: Checkout, options: str, image: str, namespace: str) -> None:
    checkout.rules(**{"kubectl get --raw": (1, "")})
    checkout.remove("docker")
    name, _, tag = image.rpartition(":")
    done = checkout.deploy(f"{options} -d")
    assert done.returncode == 0, done.stderr
    assert done.stdout == cluster.manifests(name=name, tag=tag, namespace=namespace, **NO_NAMESPACE.get(namespace, {}))
    assert f", context {CONTEXT}: dry run\n" in done.stderr
    assert "rollout" not in done.stderr
    assert "no cluster answers: no difference is shown\n" in done.stderr
    assert checkout.calls() == []


def test_a_dry_run_shows_the_difference_where_a_cluster_answers(checkout: Checkout) -> None:
    done = checkout.deploy("-e prod -d")
    assert done.returncode == 0
    assert DIFF in done.stderr
    assert checkout.calls() == [f"{KUBE} diff --filename WORK/manifests.yaml"]


def test_a_dry_run_needs_no_kubectl_where_kustomize_is(checkout: Checkout) -> None:
    checkout.remove("kubectl")
    checkout.add("kustomize")
    done = checkout.deploy("-e dev -d -t 1")
    assert done.stdout == cluster.manifests(name=NAME, tag="1", namespace="voice-tts")


def test_a_dry_run_checks_the_schemas_where_it_can(checkout: Checkout) -> None:
    assert "with kubernetes-validate installed" in checkout.deploy("-e dev -d").stderr
    checkout.add("kubernetes-validate")
    assert "valid by their schemas" in checkout.deploy("-e dev -d").stderr
    checkout.rules(**{"kubernetes-validate": (1, "")})
    done = checkout.deploy("-e dev -d")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "deploy.sh: the manifests are not valid")


def test_a_namespace_that_is_named_must_be_there(checkout: Checkout) -> None:
    checkout.rules(**{"kubectl get namespace": (0, "")})
    done = checkout.deploy("-e dev -n other")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "deploy.sh: there is no namespace other, and this deployment makes none: 'kubectl create namespace other'",
    )
    assert checkout.calls() == []
    assert checkout.deploy("-e dev").returncode == 0, "the overlay makes its own"


def test_who_may_not_see_namespaces_may_deploy(checkout: Checkout) -> None:
    checkout.rules(**{"kubectl get namespace": (1, "")})
    assert checkout.deploy("-e dev -n other").returncode == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_prod_is_asked_for(checkout: Checkout, answer: str, code: int) -> None:
    done = checkout.deploy("-e prod", answer)
    assert done.returncode == code
    assert DIFF in done.stdout
    assert "Deploy this to prod? [y/N] " in done.stderr
    assert any(" apply " in call for call in checkout.calls()) == (code == 0)


def test_prod_is_refused_where_there_is_nobody_to_ask(checkout: Checkout) -> None:
    done = checkout.deploy("-e prod -b")
    assert done.returncode == 1
    assert "prod wants a yes, and there is no terminal to ask at: give -y" in done.stderr
    assert checkout.calls() == [f"{KUBE} diff --filename WORK/manifests.yaml"]


def test_prod_is_not_asked_for_with_y(checkout: Checkout) -> None:
    assert checkout.deploy("-e prod -y").returncode == 0


@pytest.mark.parametrize(
    ("call", "done_before", "message"),
    [
        ("kubectl kustomize", "", "cannot be rendered (with kustomize 5, or kubectl 1.27 or later)"),
        ("kubectl --raw", "", "the cluster does not answer: 'kubectl cluster-info' tells why"),
        ("docker build", "diff build", "the image was not built: nothing was deployed"),
        ("docker push", "diff build push", "the image was not pushed: nothing was deployed"),
        ("kubectl apply", "diff build push apply", "the manifests were not applied, or not all of them"),
        ("kubectl rollout", "diff build push apply rollout get", f"rollout undo deployment/{NAME}"),
        ("kubectl exec", "diff build push apply rollout exec", "rolled out, but not healthy"),
    ],
)
def test_what_fails_ends_it_with_a_sentence(checkout: Checkout, call: str, done_before: str, message: str) -> None:
    checkout.rules(**{call: (3, "")})
    done = checkout.deploy("-e dev -b -p -r registry.example")
    assert done.returncode == 1
    assert message in done.stderr
    verbs = [call.removeprefix(KUBE).removeprefix("docker").split()[0] for call in checkout.calls()]
    assert verbs == done_before.split()


def test_a_difference_that_cannot_be_shown_stops_nothing(checkout: Checkout) -> None:
    checkout.rules(**{"kubectl diff": (2, "")})
    done = checkout.deploy("-e dev")
    assert done.returncode == 0
    assert "no difference can be shown" in done.stderr


def test_no_difference_is_told(checkout: Checkout) -> None:
    checkout.rules(**{"kubectl diff": (0, "")})
    assert "no difference to what the cluster has\n" in checkout.deploy("-e dev").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "say where to: -e dev or -e prod"),
        ("-e staging", "-e staging: there is no deploy/kubernetes/overlays/staging"),
        ("-e ../base", "-e ../base is no name of an overlay"),
        ("-e dev -p", "-p needs a registry to push to: -r"),
        ("-e dev -w soon", "-w soon is no number of seconds"),
        ("-e dev -t a/b", "-t a/b is no tag of an image"),
        *(
            (f"-e dev -r '{wrong}'", f"-r {wrong} is no registry, such as registry.example:5000/tts")
            for wrong in ('"x', "http://x", "REG/Upper", "a//b", "a:", "a:b", "a/b/-c", "a/b:1", ".a", "a/b@c", "/")
        ),
        ("-e dev -n Voice", "-n Voice is no name of a namespace"),
        ("-e dev -x", "there is no option -x"),
        ("-e dev -t", "-t needs a value"),
        *((f"-e dev -{option} ''", f"-{option} needs a value, and has ''") for option in "etcnrw"),
        ("-e dev -c -n other", "-c needs a value, and has '-n'"),
        ("-e dev now", "'now' is no option"),
    ],
)
def test_misuse_is_told_in_a_sentence(checkout: Checkout, options: str, message: str) -> None:
    done = checkout.deploy(options)
    assert (done.returncode, done.stderr) == (2, f"deploy.sh: {message}; ./deploy.sh -h shows the options\n")
    assert checkout.calls() == []


@pytest.mark.parametrize(
    ("tool", "options", "message"),
    [
        ("kubectl", "-e dev -d", "render the manifests (kustomize would do for that)"),
        ("kubectl", "-e dev", "render the manifests (kustomize would do for that)"),
        ("docker", "-e dev -b", "build and push the image (CONTAINER_TOOL names another one)"),
        ("git", "-e dev -b", "name the image by its commit (or name it by -t)"),
    ],
)
def test_a_missing_tool_is_named(checkout: Checkout, tool: str, options: str, message: str) -> None:
    checkout.remove(tool)
    done = checkout.deploy(options)
    assert (done.returncode, done.stderr) == (
        1,
        f"deploy.sh: {tool} is not installed, and is needed to {message}\n",
    )
    assert checkout.calls() == []


def test_without_kubectl_there_is_nothing_but_a_dry_run(checkout: Checkout) -> None:
    checkout.remove("kubectl")
    checkout.add("kustomize")
    done = checkout.deploy("-e dev")
    needed = "show the difference, apply the manifests and wait"
    assert done.stderr == f"deploy.sh: kubectl is not installed, and is needed to {needed}\n"


def test_prod_gets_no_image_of_changes_that_no_commit_has(checkout: Checkout) -> None:
    with (checkout.root / "deploy.sh").open("a") as script:
        script.write("# changed\n")
    done = checkout.deploy("-e prod -b -y")
    assert done.returncode == 1
    assert "changes that no commit has" in done.stderr
    assert checkout.calls() == []


def test_each_change_that_no_commit_has_is_an_image_of_its_own(checkout: Checkout) -> None:
    """A node keeps the image that it has of a name."""

    def tag() -> str:
        done = checkout.deploy("-e dev -b -w 0")
        assert done.returncode == 0, done.stderr
        return re.findall(r"^  build   .*:(\S+)$", done.stderr, re.MULTILINE)[0]

    assert tag() == "0.2.0"
    with (checkout.root / "deploy.sh").open("a") as script:
        script.write("# changed\n")
    one = tag()
    assert one.startswith("0.2.0-dirty-")
    assert tag() == one, "the same files are the same image"
    (checkout.root / "src").mkdir()
    (checkout.root / "src" / "new.py").touch()
    two = tag()
    (checkout.root / "src" / "new.py").write_text("# changed\n")
    assert len({one, two, tag()}) == 3


def test_an_overlay_of_ones_own_is_asked_for_like_prod(checkout: Checkout) -> None:
    overlays = checkout.root / "deploy" / "kubernetes" / "overlays"
    shutil.copytree(overlays / "prod", overlays / "mine")
    done = checkout.deploy("-e mine")
    assert "mine wants a yes, and there is no terminal to ask at: give -y" in done.stderr
    assert checkout.deploy("-e mine", "y\n").returncode == 0


def test_the_help_is_the_options(checkout: Checkout) -> None:
    done = checkout.deploy("-h")
    assert done.returncode == 0
    parsed = re.search(r'getopts ":(\S+)"', (checkout.root / "deploy.sh").read_text())
    assert parsed
    assert set(re.findall(r"^  -(\w)", done.stdout, re.MULTILINE)) == set(parsed[1].replace(":", ""))


@pytest.mark.parametrize("overlay", sorted(path.name for path in ROOT.glob("deploy/kubernetes/overlays/*")))
def test_the_projects_own_overlays_are_rendered(overlay: str, tmp_path: Path) -> None:
    if reason := cannot_render():
        cannot("manifests", reason)
    options = ["-e", overlay, "-d", "-t", "1.2.3", "-r", "mirror.example/tts", "-n", "elsewhere"]
    here = os.environ | {"KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(
        [ROOT / "deploy.sh", *options], env=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    manifests = list(yaml.safe_load_all(done.stdout))
    assert "Namespace" not in {manifest["kind"] for manifest in manifests}, "it is somebody else's"
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"elsewhere"}
    [deployment] = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"mirror.example/tts/{NAME}:1.2.3"


def cannot_render() -> str | None:
    """Why there is nothing here that renders components; None if there is."""
    if shutil.which("kustomize"):
        return None
    if not shutil.which("kubectl"):
        return "neither kustomize nor kubectl is installed"
    told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=True).stdout
    return None if re.search(r"Kustomize Version: v([5-9]|\d\d)", told) else "kubectl is older than 1.27"


def test_the_transcript_in_the_docs_is_a_run(checkout: Checkout) -> None:
    checkout.take("kustomize", kustomize())
    shutil.rmtree(checkout.root / "deploy/kubernetes")
    shutil.copytree(ROOT / "deploy/kubernetes", checkout.root / "deploy/kubernetes")
    run = checkout.transcript("-e prod -b -p -r registry.example/tts -y")
    text = textwrap.indent(run, "    ")
    if os.environ.get("TRANSCRIPT"):
        show("releasing.md", "transcript", f"\n{text}\n")
    assert shown("releasing.md", "transcript").strip("\n") == text.strip("\n"), "run `make transcript`"
