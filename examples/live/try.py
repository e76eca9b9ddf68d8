"""Shows plain.html or the React example in a browser, as an application would: it hands a task to Seri, and puts the
task's ID and a token for it into the page. The task profiles a table that takes twenty seconds to arrive.

    SERI_ALLOWED_ORIGINS=http://127.0.0.1:8000 make run    # in one terminal
    python3 examples/live/try.py plain                      # in another, or: react; then open http://127.0.0.1:8000

Only Python's own library is needed.
"""

import gzip
import json
import os
import pathlib
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = pathlib.Path(__file__).parent
SERI = os.environ.get("SERI_API_URL", "http://127.0.0.1:8080")
SERI_KEY = os.environ.get("SERI_API_KEY", "")  # seri dev needs none
PORT = int(os.environ.get("PORT", "8000"))
PAGES = {"plain": "plain.html", "react": "react/index.html"}
LIBRARIES = {"/react.js": "react.production.min.js.gz", "/react-dom.js": "react-dom.production.min.js.gz"}

HEAD = b"id,text\n"
ROW = b"1," + b"x" * 16_000 + b"\n"
ROWS = 200


def enqueue():
    """Hands the task over. The answer has its ID, and a token for fifteen minutes."""
    task = {"type": "csv.profile", "payload": {"source": f"http://127.0.0.1:{PORT}/table.csv"}}
    request = urllib.request.Request(SERI + "/v1/tasks?token_ttl=900", json.dumps(task).encode(), {"Content-Type": "application/json"})
    if SERI_KEY:
        request.add_header("Authorization", f"Bearer {SERI_KEY}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            task = enqueue()
            text = (HERE / PAGES[sys.argv[1]]).read_text().replace("https://seri.example.com", SERI)
            self.answer("text/html; charset=utf-8", text.replace("TASK", task["id"]).replace("TOKEN", task["token"]).encode())
        elif self.path == "/use-task.js":
            text = (HERE / "react/use-task.js").read_text().replace("https://seri.example.com", SERI)
            self.answer("text/javascript", text.encode())
        elif self.path in LIBRARIES:
            self.answer("text/javascript", gzip.decompress((HERE / "testdata" / LIBRARIES[self.path]).read_bytes()))
        elif self.path == "/table.csv":
            self.table()
        else:
            self.send_error(404)

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def table(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(HEAD) + ROWS * len(ROW)))
        self.end_headers()
        self.wfile.write(HEAD)
        for _ in range(ROWS):
            self.wfile.write(ROW)
            time.sleep(20 / ROWS)


if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in PAGES]:
        sys.exit("which example? python3 examples/live/try.py " + "|".join(PAGES))
    print(f"http://127.0.0.1:{PORT} shows {sys.argv[1]}, and begins a task each time that it is loaded. Ctrl-C ends it.")
    try:
        ThreadingHTTPServer(("127.0.0.1", PORT), Site).serve_forever()
    except KeyboardInterrupt:
        pass
