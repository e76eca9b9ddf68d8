"""A Django site that hands reports to Seri, with HTMX and <seri-progress>.

    SERI_API_URL=http://127.0.0.1:8080 SERI_API_KEY=seri_… python3 app.py runserver 8000

Everything is in this one file so that it can be read at once; in a site of yours, the views go where yours are.
"""

import json
import os
import sys
import urllib.request

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.static import serve

SERI = os.environ.get("SERI_API_URL", "http://127.0.0.1:8080")  # as this server reaches it
SERI_PUBLIC = os.environ.get("SERI_PUBLIC_URL", SERI)  # as browsers do
SERI_KEY = os.environ.get("SERI_API_KEY", "")  # for this server only: no page ever sees it

# What makes a report: any task of yours. This one comes with Seri.
REPORT = json.loads(os.environ.get("REPORT", "null")) or {"type": "csv.profile", "payload": {"source": SERI + "/samples/cities.csv"}}

settings.configure(
    DEBUG=False,
    SECRET_KEY=os.environ.get("DJANGO_SECRET_KEY", "for development only"),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)


def call(path, body):
    """Asks Seri."""
    request = urllib.request.Request(SERI + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if SERI_KEY:
        request.add_header("Authorization", f"Bearer {SERI_KEY}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reports, with Django</title>
<script src="/static/htmx.min.js" defer></script>
<script type="module" src="{{ seri }}/seri.js"></script>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 30em; margin: 2em auto; padding: 0 1em }
  form, article { margin-bottom: 1.5em }
  seri-progress::part(bar) { background: #2563eb }
</style>
<h1>Reports</h1>
<form hx-post="/reports" hx-target="#reports" hx-swap="afterbegin">
  {% csrf_token %}
  <button>Make a report</button>
</form>
<div id="reports"></div>
"""

# HTMX puts this into the page; the element begins to watch as soon as it is there. It gets its token at token-url, and
# another before that one expires. When the task has ended, HTMX fetches what is to be shown then.
ROW = """<article>
  <seri-progress task="{{ task.id }}" queue="{{ task.queue }}" token-url="/reports/{{ task.id }}/token" url="{{ seri }}">Report {{ task.id|slice:":6" }}</seri-progress>
  <div hx-get="/reports/{{ task.id }}" hx-trigger="seri-end from:previous seri-progress"></div>
</article>"""


def render(request, template, **context):
    return HttpResponse(engines["django"].from_string(template).render({"seri": SERI_PUBLIC, **context}, request))


def index(request):
    return render(request, PAGE)


@require_POST
def create(request):
    return render(request, ROW, task=call("/v1/tasks", REPORT))


def ended(request, id):
    return render(request, "<p>Your report is <a href='#'>here</a>.</p>")


def token(request, id):
    """Only for tasks that the user may see: ask your database here."""
    return JsonResponse(call("/v1/tokens", {"tasks": [id], "ttl": 900}))


urlpatterns = [
    path("", index),
    path("reports", create),
    path("reports/<str:id>", ended),
    path("reports/<str:id>/token", token),
    path("static/<path:path>", serve, {"document_root": os.environ.get("STATIC_DIR", "static")}),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
