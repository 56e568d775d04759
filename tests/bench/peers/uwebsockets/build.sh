#!/usr/bin/env bash
# Builds the room on uWebSockets into the folder named by the first argument. Its sources are not
# ours to keep, so they are fetched with git, at the release named here; UWEBSOCKETS_GIT and
# USOCKETS_GIT may name other places to fetch the same commits from.
# (uWebSockets.js is not on npm, and its ready-made binaries want a newer glibc than Debian 12 has.)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1

UWEBSOCKETS_GIT=${UWEBSOCKETS_GIT:-https://github.com/uNetworking/uWebSockets.git}
USOCKETS_GIT=${USOCKETS_GIT:-https://github.com/uNetworking/uSockets.git}
RELEASE=v20.79.0

mkdir -p "$out"
if ! [ -d "$out/uWebSockets/.git" ]; then
    git -c advice.detachedHead=false clone --quiet --branch "$RELEASE" "$UWEBSOCKETS_GIT" "$out/uWebSockets"
fi
if ! [ -d "$out/uSockets/.git" ]; then
    git clone --quiet "$USOCKETS_GIT" "$out/uSockets"
fi
# The commit that this release names as its submodule.
git -C "$out/uSockets" checkout --quiet "$(git -C "$out/uWebSockets" rev-parse HEAD:uSockets)"

cd "$out"
flags=(-O3 -flto=auto -DLIBUS_NO_SSL -IuSockets/src)
gcc -std=c11 "${flags[@]}" -c uSockets/src/*.c uSockets/src/eventing/epoll_kqueue.c
g++ -std=c++20 "${flags[@]}" -DUWS_NO_ZLIB -IuWebSockets/src "$here/server.cpp" ./*.o -o server
printf '%s\n' "$RELEASE" >VERSION
