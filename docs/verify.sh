#!/bin/bash
# Verifies one Meshtrail event, and the recording it speaks of, with coreutils, jq and openssl only.
#
#     verify.sh EVENT.json PROOF.json VKEY [RECORDING]
#
# EVENT.json   the event as exported: GET /api/v1/events/ID
# PROOF.json   its inclusion proof:   GET /api/v1/proof?event=ID
# VKEY         the trail's public key, name+hash+base64, as you know it from elsewhere
# RECORDING    the received bytes of its session: GET /api/v1/sessions/ID/recording
#
# docs/verify.md says what each step shows.
set -euo pipefail

event=$1 proof=$2 vkey=$3 recording=${4-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "DOES NOT HOLD: $*" >&2; exit 1; }
bytes() { tr a-f A-F | basenc --base16 -d; }
digits() { basenc --base16 -w0 | tr A-F a-f; }
sha() { sha256sum | cut -c1-64; }
node() { printf '01%s%s' "$1" "$2" | bytes | sha; }

# 1. The leaf: a zero byte and the event, byte for byte.
hash=$({ printf '\0'; cat "$event"; } | sha)
[ "$hash" = "$(jq -r .leaf_hash "$proof")" ] || fail "the event is not the one that the proof is about"
echo "leaf        $hash"

# 2. The way up to the root, by RFC 9162, 2.1.3.2.
at=$(jq .index "$proof") size=$(jq .size "$proof")
[ "$at" -lt "$size" ] || fail "the index is not below the size"
last=$((size - 1))
for sibling in $(jq -r '.hashes[]' "$proof"); do
    [ "$last" != 0 ] || fail "the proof is too long"
    if [ $((at & 1)) = 1 ] || [ "$at" = "$last" ]; then
        hash=$(node "$sibling" "$hash")
        while [ $((at & 1)) = 0 ] && [ "$at" != 0 ]; do at=$((at >> 1)) last=$((last >> 1)); done
    else
        hash=$(node "$hash" "$sibling")
    fi
    at=$((at >> 1)) last=$((last >> 1))
done
[ "$last" = 0 ] || fail "the proof is too short"
echo "root        $hash  of $size events"

# 3. The checkpoint says the same root and size, and the key you know signed it.
jq -j .note "$proof" > "$work/note"
sed '/^$/,$d' "$work/note" > "$work/text"
name=${vkey%%+*} key=${vkey##"${vkey%%+*}"+}
[ "$(sed -n 1p "$work/text")" = "$name" ] || echo "note: the origin is $(sed -n 1p "$work/text"), the key's name is $name"
[ "$(sed -n 2p "$work/text")" = "$size" ] || fail "the checkpoint is about another size"
[ "$(sed -n 3p "$work/text" | base64 -d | digits)" = "$hash" ] || fail "the checkpoint has another root"
{ printf '302a300506032b6570032100' | bytes; printf %s "${key#*+}" | base64 -d | tail -c 32; } > "$work/key"
sed -n "s|^— $name ||p" "$work/note" | head -n 1 | base64 -d | tail -c 64 > "$work/signature"
openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key" -rawin -in "$work/text" \
    -sigfile "$work/signature" > /dev/null 2>&1 || fail "the checkpoint is not signed by $name"
echo "checkpoint  signed by $name"

# 4. The recording is the one that the event names.
if [ -n "$recording" ]; then
    [ "$(jq .detail.bytes "$event")" = "$(stat -c %s "$recording")" ] || fail "the recording has another length"
    [ "$(jq -r .detail.sha256 "$event")" = "$(sha < "$recording")" ] || fail "the recording is another one"
    echo "recording   $(sha < "$recording")"
fi
echo "It holds."
