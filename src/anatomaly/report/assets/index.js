"use strict";
(() => {
  const table = document.getElementById("cohort"), body = table.tBodies[0];
  const numeric = new Set(["volume", "count", "group"]);
  for (const heading of table.querySelectorAll("th[data-key]")) {
    const key = heading.dataset.key;
    heading.tabIndex = 0;
    const sort = () => {
      const first = numeric.has(key) && key !== "group" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      for (const each of table.querySelectorAll("th")) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = Array.from(body.rows);
      rows.sort((a, b) => sign * (numeric.has(key)
        ? Number(a.dataset[key]) - Number(b.dataset[key])
        : a.dataset[key].localeCompare(b.dataset[key], undefined, { numeric: true })));
      body.append(...rows);
    };
    heading.onclick = sort;
    heading.onkeydown = (event) => { if (event.key === "Enter") sort(); };
  }
})();
