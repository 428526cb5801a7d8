#!/bin/sh
# Counts lines, words and bytes of the files that a caller posts.
# Arguments, counted: N, N field values, M, M file names.
set -eu

n=$1
shift
title="Word count"
while [ "$n" -gt 0 ]; do
  title=$1
  shift
  n=$((n - 1))
done

m=$1
shift
if [ "$m" -eq 0 ]; then
  echo "post at least one file, e.g. curl -F text=@sample.txt" >&2
  exit 2
fi

echo "file,lines,words,bytes" >counts.csv
{
  echo "$title"
  for file in "$@"; do
    # shellcheck disable=SC2046 # three numbers are wanted
    set -- $(wc -l <"$file") $(wc -w <"$file") $(wc -c <"$file")
    echo "counting $file" >&2
    printf '%s,%s,%s,%s\n' "$file" "$1" "$2" "$3" >>counts.csv
    printf '%8s lines %8s words %8s bytes  %s\n' "$1" "$2" "$3" "$file"
  done
} >report.txt
