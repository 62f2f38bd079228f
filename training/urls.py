"""Addresses of the training side: the managers' pages."""

from django.urls import URLPattern, path

from training.views import (
    endpoints,
    home,
    pairs,
    playground,
    policies,
    projects,
    rounds,
    sampling,
    settings,
)

urlpatterns: list[URLPattern] = [
    path("", projects.projects, name="projects"),
    path("new/", projects.new_project, name="new_project"),
    path("p/<slug:slug>/", home.project, name="project"),
    path("p/<slug:slug>/live/", home.project_live, name="project_live"),
    path("p/<slug:slug>/pair-up/", home.pair_up, name="pair_up"),
    path("p/<slug:slug>/pause/", home.pause, name="pause"),
    path("p/<slug:slug>/settings/", settings.project_settings, name="project_settings"),
    path("p/<slug:slug>/pairs/", pairs.pairs, name="pairs"),
    path("p/<slug:slug>/snapshots/<str:sha256>.jsonl", pairs.snapshot, name="snapshot"),
    path("p/<slug:slug>/completions/", sampling.sampling, name="sampling"),
    path("p/<slug:slug>/completions/live/", sampling.sampling_live, name="sampling_live"),
    path("p/<slug:slug>/completions/start/", sampling.start_sampling, name="start_sampling"),
    path(
        "p/<slug:slug>/completions/<int:pk>/cancel/",
        sampling.cancel_sampling,
        name="cancel_sampling",
    ),
    path("p/<slug:slug>/endpoints/", endpoints.endpoints, name="endpoints"),
    path("p/<slug:slug>/endpoints/new/", endpoints.new_endpoint, name="new_endpoint"),
    path("p/<slug:slug>/endpoints/<int:pk>/", endpoints.endpoint, name="endpoint"),
    path("p/<slug:slug>/endpoints/<int:pk>/try/", endpoints.try_endpoint, name="try_endpoint"),
    path("p/<slug:slug>/playground/", playground.playground, name="playground"),
    path("p/<slug:slug>/playground/<int:pk>/", playground.tryout, name="tryout"),
    path("p/<slug:slug>/playground/<int:pk>/live/", playground.tryout_live, name="tryout_live"),
    path("p/<slug:slug>/playground/<int:pk>/stop/", playground.stop_tryout, name="stop_tryout"),
    path(
        "p/<slug:slug>/playground/<int:pk>/names/", playground.reveal_tryout, name="reveal_tryout"
    ),
    path("p/<slug:slug>/playground/<int:pk>/keep/", playground.keep_tryout, name="keep_tryout"),
    path("p/<slug:slug>/rounds/", rounds.rounds, name="rounds"),
    path("p/<slug:slug>/rounds/start/", rounds.start_round, name="start_round"),
    path("p/<slug:slug>/rounds/<int:number>/", rounds.round_page, name="round"),
    path("p/<slug:slug>/rounds/<int:number>/live/", rounds.round_live, name="round_live"),
    path("p/<slug:slug>/rounds/<int:number>/cancel/", rounds.cancel_round, name="cancel_round"),
    path("p/<slug:slug>/policies/<slug:policy>/promote/", policies.promote, name="promote"),
    path("p/<slug:slug>/policies/<slug:policy>/retire/", policies.retire, name="retire"),
    path("p/<slug:slug>/policies/<slug:policy>/rejoin/", policies.rejoin, name="rejoin"),
]
