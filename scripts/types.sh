#!/bin/sh
# Checks the types of seri.js with the compiler of TypeScript, which npm fetches: what pages do compiles, and what is wrong does
# not. Needs Node.js, and the network the first time.
set -eu

version=5.9.3
cd "$(dirname "$0")/../web/types"

tsc() { npx --yes --package "typescript@$version" tsc "$@"; }

tsc --project tsconfig.json
echo 'good.ts compiles, and each line of wrong.ts that is to be refused is'

# Without its directives, wrong.ts must have as many errors.
copy=wrong.unexpected
trap 'rm -f "$copy.ts" "$copy.json"' EXIT
sed '/@ts-expect-error/d' wrong.ts >"$copy.ts"
printf '{"extends": "./tsconfig.json", "files": ["%s.ts"]}\n' "$copy" >"$copy.json"
wanted=$(grep -c '^// @ts-expect-error' wrong.ts)
if printed=$(tsc --project "$copy.json" --pretty false 2>&1); then
	echo 'wrong.ts compiles without its directives'
	exit 1
fi
found=$(printf '%s\n' "$printed" | sed -n 's/^[^(]*(\([0-9]*\),.*error TS.*/\1/p' | sort -u | wc -l)
if [ "$found" -ne "$wanted" ]; then
	printf '%s\nwrong.ts has errors in %s lines, wanted %s\n' "$printed" "$found" "$wanted"
	exit 1
fi
echo "without its directives, wrong.ts has errors in $found lines"
