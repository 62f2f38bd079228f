// One way to ask the server, with every outcome named: "ok" (its JSON), "refused" (422, with
// errors), "conflict" (409), "gone" (404, 410), "signed-out", "offline", "trouble" (its errors).
const PATIENCE = 20_000;
const KINDS = { 200: "ok", 204: "ok", 409: "conflict", 422: "refused", 404: "gone", 410: "gone" };

function csrfToken() {
  const cookie = /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie);
  return cookie?.[1] ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

export async function ask(url, body = null) {
  const headers = { "X-Whetstone": "card", Accept: "application/json" };
  if (body !== null) headers["X-CSRFToken"] = csrfToken();
  let response;
  try {
    response = await fetch(url, {
      method: body === null ? "GET" : "POST",
      body,
      headers,
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    return { kind: "offline", data: null };
  }
  if (response.type === "opaqueredirect" || [401, 403].includes(response.status)) {
    return { kind: "signed-out", data: null };
  }
  return { kind: KINDS[response.status] ?? "trouble", data: await jsonOf(response) };
}

async function jsonOf(response) {
  if (!response.headers.get("content-type")?.startsWith("application/json")) return null;
  try {
    return await response.json();
  } catch {
    return null;
  }
}
