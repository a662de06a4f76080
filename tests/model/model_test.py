#!/usr/bin/env python3
"""Runs the model: `model_test.py <program> <exit code> <argument>...`; where nothing may be found, every state must
have been visited."""

import subprocess
import sys

program, code, *arguments = sys.argv[1:]
done = subprocess.run([program, *arguments], capture_output=True, text=True)
print(done.stdout, done.stderr)
if done.returncode != int(code):
    sys.exit(f"exit code {done.returncode}, expected {code}")
if done.returncode == 0 and "COMPLETE" not in done.stdout:
    sys.exit("the bound was reached before every state was visited")
