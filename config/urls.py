"""All addresses."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.i18n import set_language

from config.health import health
from config.login_links import LoginLinkView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", auth_views.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("login/link/", LoginLinkView.as_view(), name="login_link"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
    path("health/", health, name="health"),
    path("", include("annotate.urls")),
    path("", include("training.urls")),
]
