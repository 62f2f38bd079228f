"""Addresses of the training side: the managers' pages."""

from django.urls import URLPattern, path

from training.views import (
    endpoints,
    home,
    notifications,
    playground,
    projects,
    sampling,
    screening,
    settings,
)
from training.views.policies import pairs, policies, ranking, rewards
from training.views.rounds import new_round, reports, rounds, schedule

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
    path("p/<slug:slug>/completions/approve/", sampling.approve_sampling, name="approve_sampling"),
    path("p/<slug:slug>/completions/weights/", sampling.weights, name="set_weights"),
    path("p/<slug:slug>/completions/screening/", screening.screening, name="screening"),
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
    path("p/<slug:slug>/rounds/new/", new_round.new_round, name="new_round"),
    path("p/<slug:slug>/rounds/when/", schedule.round_when, name="round_when"),
    path("p/<slug:slug>/rounds/start/", rounds.start_round, name="start_round"),
    path("p/<slug:slug>/rounds/<int:number>/", rounds.round_page, name="round"),
    path("p/<slug:slug>/rounds/<int:number>/live/", rounds.round_live, name="round_live"),
    path("p/<slug:slug>/rounds/<int:number>/cancel/", rounds.cancel_round, name="cancel_round"),
    path("p/<slug:slug>/rounds/<int:number>/pause/", rounds.pause_round, name="pause_round"),
    path("p/<slug:slug>/rounds/<int:number>/resume/", rounds.resume_round, name="resume_round"),
    path("p/<slug:slug>/rounds/compare/", reports.compare, name="compare"),
    path("p/<slug:slug>/rounds/<int:number>/report/", reports.report, name="report"),
    path(
        "p/<slug:slug>/rounds/<int:number>/report/live/",
        reports.afterwards_live,
        name="afterwards_live",
    ),
    path("p/<slug:slug>/rounds/<int:number>/card.md", reports.model_card, name="model_card"),
    path(
        "p/<slug:slug>/rounds/<int:number>/adapter.tar",
        reports.download_adapter,
        name="download_adapter",
    ),
    path(
        "p/<slug:slug>/rounds/<int:number>/merged.tar",
        reports.download_merged,
        name="download_merged",
    ),
    path("p/<slug:slug>/rounds/<int:number>/merge/", reports.merge, name="merge"),
    path(
        "p/<slug:slug>/rounds/<int:number>/merge/cancel/", reports.cancel_merge, name="cancel_merge"
    ),
    path("p/<slug:slug>/rounds/<int:number>/merge/remove/", reports.unmerge, name="unmerge"),
    path("p/<slug:slug>/rounds/<int:number>/push/", reports.push, name="push"),
    path(
        "p/<slug:slug>/settings/notifications/", notifications.notifications, name="notifications"
    ),
    path(
        "p/<slug:slug>/settings/notifications/deliveries/",
        notifications.deliveries,
        name="deliveries",
    ),
    path(
        "p/<slug:slug>/settings/notifications/deliveries/<int:pk>/again/",
        notifications.send_again,
        name="send_again",
    ),
    path(
        "p/<slug:slug>/settings/notifications/<int:pk>/",
        notifications.change_recipient,
        name="change_recipient",
    ),
    path("p/<slug:slug>/pool/best-of/", policies.add_best_of, name="add_best_of"),
    path("p/<slug:slug>/ranking/", ranking.ranking, name="ranking"),
    path("p/<slug:slug>/ranking.csv", ranking.ranking_csv, name="ranking_csv"),
    path("p/<slug:slug>/ranking.json", ranking.ranking_json, name="ranking_json"),
    path("p/<slug:slug>/rewards/", rewards.rewards, name="rewards"),
    path("p/<slug:slug>/rewards/live/", rewards.rewards_live, name="rewards_live"),
    path("p/<slug:slug>/rewards/score/", rewards.start_scoring, name="start_scoring"),
    path("p/<slug:slug>/rewards/<int:pk>/cancel/", rewards.cancel_scoring, name="cancel_scoring"),
    path("p/<slug:slug>/rewards/train/", rewards.train_reward_model, name="train_reward_model"),
    path("p/<slug:slug>/rewards.csv", rewards.rewards_csv, name="rewards_csv"),
    path("p/<slug:slug>/rewards.json", rewards.rewards_json, name="rewards_json"),
    path(
        "p/<slug:slug>/rounds/<int:number>/reward-model.zip",
        rewards.reward_adapter,
        name="reward_adapter",
    ),
    path("p/<slug:slug>/policies/", policies.policies, name="policies"),
    path("p/<slug:slug>/policies/<slug:policy>/", policies.policy_page, name="policy"),
    path("p/<slug:slug>/roll-back/", policies.roll_back, name="roll_back"),
    path("p/<slug:slug>/policies/<slug:policy>/promote/", policies.promote, name="promote"),
    path("p/<slug:slug>/policies/<slug:policy>/retire/", policies.retire, name="retire"),
    path("p/<slug:slug>/policies/<slug:policy>/rejoin/", policies.rejoin, name="rejoin"),
]
