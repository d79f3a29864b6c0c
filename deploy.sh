#!/usr/bin/env bash
# Builds, pushes and rolls out worker-model-sync-tts. Says what it will do, shows the difference, asks before prod.
set -euo pipefail
cd "$(dirname "$0")"
PATH="$PATH:$PWD/.cache/deploy-tools/bin" # kubernetes-validate, where the tests have put it

readonly NAME="worker-model-sync-tts"
readonly HOST='[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?'
readonly PATH_PART='[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*' # of an image's name
readonly NO_NAMESPACE="{apiVersion: v1, kind: Namespace, metadata: {name: any}, \$patch: delete}"

usage() {
  cat <<END
usage: ./deploy.sh -e dev|prod [options]

  -e ENV        the overlay: deploy/kubernetes/overlays/ENV; dev, prod, or one of yours
  -b            build the image first
  -p            push it (needs -r)
  -d            dry run: render and check, change nothing; show the difference if the cluster answers
  -r REGISTRY   where the image is; without it as the overlay says
  -t TAG        the image's tag; without it as the overlay says, or with -b or -p the commit's (git describe)
  -n NAMESPACE  instead of the overlay's; it must be there, and stays as it is
  -c CONTEXT    kubectl's context; without it the current one
  -w SECONDS    how long to wait for the rollout (300); 0: do not wait
  -y            do not ask (without it everything but dev is asked for)
  -h            this text

CONTAINER_TOOL names what builds and pushes (docker, or else podman), BASE_IMAGE the image to build on.
END
}

fail() {
  echo "deploy.sh: $1" >&2
  exit "${2:-1}"
}

misused() {
  fail "$1; ./deploy.sh -h shows the options" 2
}

has() {
  command -v "$1" >/dev/null 2>&1
}

need() {
  has "$1" || fail "$1 is not installed, and is needed to $2"
}

environment="" build="" push="" dry="" registry="" tag="" namespace="" context="" wait_seconds=300 yes=""

parse() {
  while getopts ":e:bpdr:t:n:c:w:yh" option; do
    # What a pipeline's variable was to hold, and what follows a value that was forgotten.
    case "$option${OPTARG-}" in [erntcw] | [erntcw]-*) misused "-$option needs a value, and has '$OPTARG'" ;; esac
    case "$option" in
      e) environment="$OPTARG" ;;
      b) build=yes ;;
      p) push=yes ;;
      d) dry=yes ;;
      r) registry="$OPTARG" ;;
      t) tag="$OPTARG" ;;
      n) namespace="$OPTARG" ;;
      c) context="$OPTARG" ;;
      w) wait_seconds="$OPTARG" ;;
      y) yes=yes ;;
      h) usage && exit 0 ;;
      :) misused "-$OPTARG needs a value" ;;
      *) misused "there is no option -$OPTARG" ;;
    esac
  done
  shift $((OPTIND - 1))
  [ $# -eq 0 ] || misused "'$1' is no option"
  [ -n "$environment" ] || misused "say where to: -e dev or -e prod"
  fits "-e $environment is no name of an overlay" "$environment" '[A-Za-z0-9][A-Za-z0-9._-]*'
  overlay="deploy/kubernetes/overlays/$environment"
  [ -f "$overlay/kustomization.yaml" ] || misused "-e $environment: there is no $overlay"
  fits "-w $wait_seconds is no number of seconds" "$wait_seconds" '[0-9]+'
  fits "-r $registry is no registry, such as registry.example:5000/tts" "$registry" "($HOST(:[0-9]+)?(/$PATH_PART)*/?)?"
  registry="${registry%/}"
  fits "-t $tag is no tag of an image" "$tag" '([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?'
  fits "-n $namespace is no name of a namespace" "$namespace" '([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?'
  [ -z "$push" ] || [ -n "$registry" ] || misused "-p needs a registry to push to: -r"
}

fits() { # SENTENCE VALUE PATTERN
  [[ "$2" =~ ^($3)$ ]] || misused "$1"
}

check_tools() {
  has kustomize || need kubectl "render the manifests (kustomize would do for that)"
  if [ -z "$dry" ]; then
    need kubectl "show the difference, apply the manifests and wait"
    [ -z "$build$push" ] || choose_container_tool
  fi
}

choose_container_tool() {
  tool="${CONTAINER_TOOL:-$(if has docker || ! has podman; then echo docker; else echo podman; fi)}"
  need "$tool" "build and push the image (CONTAINER_TOOL names another one)"
}

# As releases are named, without a v. Changes that no commit has are part of it: nodes keep the image that they have of it.
name_by_commit() {
  need git "name the image by its commit (or name it by -t)"
  local files
  tag="$(git describe --tags --always)" || fail "this is no git checkout: name the image by -t"
  files="$(tree)" || fail "git cannot tell whether there are changes: name the image by -t"
  tag="${tag#v}"
  if [ "$files" != "$(git rev-parse 'HEAD^{tree}')" ]; then
    [ "$environment" = dev ] || fail "there are changes that no commit has: commit them, or name the image by -t"
    tag="$tag-dirty-${files:0:10}"
  fi
}

# A digest of the files as they are now: those that git knows, and new ones of the program.
tree() (
  mkdir -p .cache
  index="$(mktemp -d .cache/index.XXXXXX)"
  trap 'rm -rf "$index"' EXIT
  export GIT_INDEX_FILE="$PWD/$index/index"
  git read-tree HEAD && git add --update \
    && git ls-files -z --others --exclude-standard src | git update-index -z --add --stdin && git write-tree
)

rendered() { # DIRECTORY
  if has kustomize; then kustomize build "$1"; else kubectl kustomize "$1"; fi >"$manifests" \
    || fail "$overlay cannot be rendered (with kustomize 5, or kubectl 1.27 or later)"
  image="$(image_of "$manifests")"
  [ -n "$image" ] || fail "$overlay has no container of the image $NAME"
}

image_of() { # MANIFESTS
  awk -v name="$NAME" '$1 == "image:" || ($1 == "-" && $2 == "image:") {
    image = $NF; gsub(/"/, "", image); path = image; sub(/@.*/, "", path); sub(/:[^:\/]*$/, "", path)
    if (path == name || path ~ "/" name "$") { print image; exit }
  }' "$1"
}

namespace_of() { # MANIFESTS
  awk -v name="$NAME" '
    /^---/ { kind = ""; named = ""; space = "" }
    /^kind:/ { kind = $2 } /^  name:/ { named = $2 } /^  namespace:/ { space = $2 }
    kind == "Deployment" && named == name && space != "" { print space; exit }' "$1"
}

# The overlay with the image and the namespace that were asked for, in $manifests.
render() {
  mkdir -p .cache
  work="$(mktemp -d .cache/deploy.XXXXXX)"
  trap 'rm -rf "$work"' EXIT
  manifests="$work/manifests.yaml"
  rendered "$overlay"
  if [ -n "$registry$tag$namespace" ]; then
    local path="${image%@*}"
    case "${path##*/}" in *:*) path="${path%:*}" ;; esac
    {
      echo "resources: [../../$overlay]"
      if [ -n "$namespace" ]; then
        echo "namespace: \"$namespace\""
        # It may be somebody else's, with labels of its own.
        echo "patches: [{target: {kind: Namespace}, patch: '$NO_NAMESPACE'}]"
      fi
      echo "images: [{name: \"$path\"${registry:+, newName: \"$registry/$NAME\"}${tag:+, newTag: \"$tag\"}}]"
    } >"$work/kustomization.yaml"
    rendered "$work"
  fi
  namespace="$(namespace_of "$manifests")"
  [ -n "$namespace" ] || fail "$overlay names no namespace: give one by -n"
}

kube() {
  kubectl ${context:+--context "$context"} --namespace "$namespace" "$@"
}

find_cluster() {
  ! has kubectl || [ -n "$context" ] || context="$(kubectl config current-context 2>/dev/null)" || true
}

answers() {
  has kubectl && kube --request-timeout 10s get --raw /version >/dev/null
}

plan() {
  echo "$NAME → $environment, namespace $namespace, context ${context:-that kubectl chooses}${dry:+: dry run}"
  [ -z "$build" ] || echo "  build   $image"
  [ -z "$push" ] || echo "  push    $image"
  echo "  deploy  $image: $(grep -c '^kind:' "$manifests") objects of $overlay"
  [ -n "$dry" ] || [ "$wait_seconds" = 0 ] || echo "  wait    $wait_seconds s for the rollout, then show the health"
}

# A namespace that is not to be made must be there. Who may not see namespaces goes on: `apply` will tell.
check_namespace() {
  ! grep -q '^kind: Namespace$' "$manifests" || return 0
  local found
  found="$(kube get namespace "$namespace" --ignore-not-found --output name 2>/dev/null)" || return 0
  [ -n "$found" ] \
    || fail "there is no namespace $namespace, and this deployment makes none: 'kubectl create namespace $namespace'"
}

# Its standard output is the manifests alone.
dry_run() {
  cat "$manifests"
  if answers 2>/dev/null; then difference >&2; else echo "no cluster answers: no difference is shown" >&2; fi
  if has kubernetes-validate; then
    kubernetes-validate --strict "$manifests" >&2 || fail "the manifests are not valid"
    echo "dry run: the manifests are valid by their schemas; nothing was changed" >&2
  else
    echo "dry run: the manifests render; with kubernetes-validate installed their schemas are checked too" >&2
  fi
}

# `kubectl diff` ends with 1 where there are differences, with more where it failed.
difference() {
  local code=0
  kube diff --filename "$manifests" || code=$?
  case "$code" in
    0) echo "no difference to what the cluster has" ;;
    1) ;;
    *) echo "deploy.sh: no difference can be shown (a first deployment, or no permission)" >&2 ;;
  esac
}

confirm() {
  [ "$environment" != dev ] && [ -z "$yes" ] || return 0
  [ -t 0 ] || fail "$environment wants a yes, and there is no terminal to ask at: give -y; nothing was changed"
  local answer=""
  read -r -p "Deploy this to $environment? [y/N] " answer || true
  case "$answer" in y | Y | yes) ;; *) fail "not deployed: nothing was changed" ;; esac
}

make_image() {
  if [ -n "$build" ]; then
    "$tool" build ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} --build-arg "VERSION=$tag" \
      --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)" --target worker --tag "$image" . \
      || fail "the image was not built: nothing was deployed"
  fi
  if [ -n "$push" ]; then
    "$tool" push "$image" || fail "the image was not pushed: nothing was deployed"
  fi
}

roll_out() {
  kube apply --filename "$manifests" || fail "the manifests were not applied, or not all of them: see above"
  [ "$wait_seconds" != 0 ] || return 0
  kube rollout status "deployment/$NAME" --timeout "${wait_seconds}s" || {
    kube get pods --selector "app.kubernetes.io/name=$NAME" >&2 || true
    fail "not ready after $wait_seconds s. A first comparison with the bucket may take longer, and goes on. What it does:
  kubectl --namespace $namespace logs deployment/$NAME
Back to what was before:
  kubectl --namespace $namespace rollout undo deployment/$NAME"
  }
  health
}

health() {
  local ask='import http.client, json, os
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("HTTP_PORT", 8080)), timeout=5)
connection.request("GET", "/health")
answer = connection.getresponse()
told = json.load(answer)
print("health:", told["status"])
for name, check in told["checks"].items():
    print(f"  {name}:", check["status"] + ",", check["reason"])
raise SystemExit(answer.status != 200)'
  kube exec "deployment/$NAME" -- python3 -c "$ask" || fail "rolled out, but not healthy: see the checks above"
}

main() {
  parse "$@"
  check_tools
  [ -z "$build$push" ] || [ -n "$tag" ] || name_by_commit
  render
  find_cluster
  plan >&2
  if [ -n "$dry" ]; then
    dry_run
    exit 0
  fi
  answers || fail "the cluster does not answer: 'kubectl cluster-info' tells why, and -c names another context"
  check_namespace
  difference
  confirm
  make_image
  roll_out
}

main "$@"
