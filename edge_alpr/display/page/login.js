const said = document.getElementById("said");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = document.getElementById("password").value;
  const answer = await fetch("/login", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ password }),
  }).catch(() => null);
  if (answer?.ok) { location.replace("/"); return; }
  said.textContent = answer ? (await answer.json().catch(() => ({}))).error ?? "That did not work." : "The server does not answer.";
});
