#!/bin/sh
# Greets: sh hello.sh NAME [FILE...]
set -eu
name=$1
shift
{
  echo "Hello, $name!"
  for file in "$@"; do
    echo "You sent $file: $(wc -c <"$file" | tr -d ' ') bytes."
  done
} >greeting.txt
