"""The polls of Django's tutorial, in the project that `django-admin startproject mysite` made; a test runs that."""

from __future__ import annotations

import os
from importlib import import_module

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

import divan_obs_asgi as obs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django = get_asgi_application()


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world. You're at the polls index.")


def vote(request: HttpRequest, question_id: int) -> HttpResponse:
    return HttpResponse(f"You are voting on question {question_id}.")


polls = [path("", index, name="index"), path("<int:question_id>/vote/", vote, name="vote")]
import_module("mysite.urls").urlpatterns.insert(0, path("polls/", include((polls, "polls"))))
app = obs.wrap(django)
