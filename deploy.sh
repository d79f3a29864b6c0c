#!/usr/bin/env bash
# Builds, pushes and rolls out worker-model-sync-tts. Says what it will do, shows the difference, asks before prod.
set -euo pipefail
cd "$(dirname "$0")"
PATH="$PATH:$PWD/.venv/bin" # kubernetes-validate

readonly NAME="worker-model-sync-tts"

usage() {
  cat <<EOF
usage: ./deploy.sh -e dev|prod [options]

  -e ENV        the overlay: deploy/kubernetes/overlays/ENV
  -b            build the image first
  -p            push it (needs -r)
  -d            dry run: render and check, change nothing
  -r REGISTRY   where the image is; without it as the overlay says
  -t TAG        the image's tag; without it as the overlay says, or with -b or -p the commit's (git describe)
  -n NAMESPACE  instead of the overlay's
  -c CONTEXT    kubectl's context; without it the current one
  -w SECONDS    how long to wait for the rollout (300); 0: do not wait
  -y            do not ask before prod
  -h            this text

CONTAINER_TOOL names the tool that builds and pushes (docker), BASE_IMAGE the image to build on.
EOF
}

fail() {
  echo "deploy.sh: $1" >&2
  exit "${2:-1}"
}

misused() {
  echo "deploy.sh: $1; ./deploy.sh -h shows the options" >&2
  exit 2
}

need() {
  command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed, and is needed to $2"
}

environment="" build="" push="" dry="" registry="" tag="" namespace="" context="" wait_seconds=300 yes=""

parse() {
  while getopts ":e:bpdr:t:n:c:w:yh" option; do
    case "$option" in
      e) environment="$OPTARG" ;;
      b) build=yes ;;
      p) push=yes ;;
      d) dry=yes ;;
      r) registry="${OPTARG%/}" ;;
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
  case "$environment" in dev | prod) ;; *) misused "say where to: -e dev or -e prod" ;; esac
  case "$wait_seconds" in *[!0-9]* | "") misused "-w $wait_seconds is no number of seconds" ;; esac
  [ -z "$push" ] || [ -n "$registry" ] || misused "-p needs a registry to push to: -r"
  overlay="deploy/kubernetes/overlays/$environment"
  [ -f "$overlay/kustomization.yaml" ] || fail "$overlay is not there: run this in a checkout of the project"
  tool="${CONTAINER_TOOL:-docker}"
}

check_tools() {
  need kubectl "render and apply the manifests"
  [ -z "$build$push" ] || need "$tool" "build and push (CONTAINER_TOOL names another one)"
  if [ -n "$build$push" ] && [ -z "$tag" ]; then
    need git "name the image by its commit (or name it by -t)"
    tag="$(git describe --tags --always --dirty)" || fail "this is no git checkout: name the image by -t"
    case "$environment/$tag" in
      prod/*-dirty) fail "there are changes that no commit has: commit them, or name the image by -t" ;;
    esac
  fi
}

kube() {
  kubectl ${context:+--context "$context"} "$@"
}

image_of() { # the worker's image in rendered manifests
  awk -v name="$NAME" '$1 == "image:" || ($1 == "-" && $2 == "image:") {
    image = $NF; gsub(/"/, "", image); path = image; sub(/@.*/, "", path); sub(/:[^:\/]*$/, "", path)
    if (path == name || path ~ "/" name "$") { print image; exit }
  }' "$1"
}

namespace_of() { # the namespace that the worker's Deployment has in rendered manifests
  awk -v name="$NAME" '
    /^---/ { kind = ""; named = ""; space = "" }
    /^kind:/ { kind = $2 } /^  name:/ { named = $2 } /^  namespace:/ { space = $2 }
    kind == "Deployment" && named == name && space != "" { print space; exit }' "$1"
}

# The overlay with the image and namespace that were asked for, in $rendered.
render() {
  mkdir -p .cache
  work="$(mktemp -d .cache/deploy.XXXXXX)"
  trap 'rm -rf "$work"' EXIT
  rendered="$work/manifests.yaml"
  kubectl kustomize "$overlay" >"$rendered" || fail "$overlay cannot be rendered"
  image="$(image_of "$rendered")"
  [ -n "$image" ] || fail "$overlay has no container of the image $NAME"
  local path="${image%@*}" own_tag=""
  case "${path##*/}" in *:*) own_tag="${path##*:}" path="${path%:*}" ;; esac
  if [ -n "$registry$tag$namespace" ]; then
    local new_name="${registry:+$registry/$NAME}" new_tag="${tag:-${own_tag:-latest}}"
    {
      echo "resources: [../../$overlay]"
      [ -z "$namespace" ] || echo "namespace: \"$namespace\""
      echo "images: [{name: \"$path\", newName: \"${new_name:-$path}\", newTag: \"$new_tag\"}]"
    } >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$rendered" || fail "$overlay cannot be rendered with these options"
    image="$(image_of "$rendered")"
  fi
  target="$(namespace_of "$rendered")"
}

plan() {
  echo "$NAME → $environment, namespace ${target:-of the context}, context ${context:-(current)}"
  [ -z "$build" ] || echo "  build   $image"
  [ -z "$push" ] || echo "  push    $image"
  echo "  deploy  $image: $(grep -c '^kind:' "$rendered") objects of $overlay"
  [ "$wait_seconds" = 0 ] || echo "  wait    $wait_seconds s for the rollout, then show the health"
}

validate() {
  cat "$rendered"
  if command -v kubernetes-validate >/dev/null 2>&1; then
    kubernetes-validate --strict "$rendered" >&2 || fail "the manifests are not valid"
    echo "dry run: the manifests are valid by their schemas; nothing was changed" >&2
  else
    echo "dry run: the manifests render; with kubernetes-validate installed their schemas are checked too" >&2
  fi
}

# `kubectl diff` ends with 1 where there are differences, with more where it failed.
difference() {
  local code=0
  kube diff ${target:+--namespace "$target"} --filename "$rendered" || code=$?
  case "$code" in
    0) echo "no difference to what the cluster has" ;;
    1) ;;
    *) echo "deploy.sh: no difference can be shown (a first deployment, or no permission)" >&2 ;;
  esac
}

confirm() {
  [ "$environment" = prod ] && [ -z "$yes" ] || return 0
  local answer=""
  read -r -p "Deploy this to prod? [y/N] " answer || true
  case "$answer" in y | Y | yes) ;; *) fail "not deployed" ;; esac
}

make_image() {
  if [ -n "$build" ]; then
    "$tool" build ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} --build-arg "VERSION=$tag" \
      --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)" --target worker --tag "$image" .
  fi
  if [ -n "$push" ]; then
    "$tool" push "$image"
  fi
}

roll_out() {
  kube apply ${target:+--namespace "$target"} --filename "$rendered"
  [ "$wait_seconds" != 0 ] || return 0
  kube rollout status ${target:+--namespace "$target"} "deployment/$NAME" --timeout "${wait_seconds}s" || {
    kube get pods ${target:+--namespace "$target"} --selector "app.kubernetes.io/name=$NAME" >&2 || true
    fail "not ready after $wait_seconds s: kubectl logs deployment/$NAME tells why. A first comparison with the bucket may
take longer; it goes on. Back to what was before: kubectl rollout undo deployment/$NAME"
  }
  health
}

health() {
  local ask="import http.client, os
c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('HTTP_PORT', 8080)), timeout=5)
c.request('GET', '/health'); a = c.getresponse(); print(a.read().decode()); raise SystemExit(a.status != 200)"
  kube exec ${target:+--namespace "$target"} "deployment/$NAME" -- python3 -c "$ask" \
    || fail "rolled out, but not healthy: see the checks above"
}

main() {
  parse "$@"
  check_tools
  render
  plan >&2 # the standard output of a dry run is the manifests alone
  if [ -n "$dry" ]; then
    validate
    exit 0
  fi
  difference
  confirm
  make_image
  roll_out
}

main "$@"
