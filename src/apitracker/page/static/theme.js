// Light or dark as chosen here before, ahead of the first paint; else as in the system.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Where nothing may be kept, the system's choice stands.
}
