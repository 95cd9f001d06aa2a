"use strict";
// What a judge says of sentences, as plain data and as CSV; knows nothing of the page.
const Verdicts = (() => {
  const IDLE_SECONDS = 60;
  const COLUMNS = ["page", "only", "scan_id", "text", "sentence", "verdict", "judge", "seconds"];
  const opposite = { keep: "drop", drop: "keep" };

  // A click: what was decided is wrong, and back; where tables disagree through both and back.
  function next(decided, mark) {
    if (decided === "split") return { undefined: "keep", keep: "drop" }[mark];
    return mark === undefined ? opposite[decided] : undefined;
  }

  // A key for one verdict; the same key again, or what was decided anyway, takes it back.
  function choose(decided, mark, verdict) {
    return mark === verdict || verdict === decided ? undefined : verdict;
  }

  function final(decided, mark) {
    return mark || (decided === "split" ? "" : decided);
  }

  // Sentences on which the tables disagree and the judge has said nothing.
  function unsettled(report, marks) {
    return report.sentences.filter((s) => !final(s.decided, marks[s.number])).map((s) => s.number);
  }

  // A pause counts as a minute at most: who has left is not judging.
  function spent(since, now) {
    return Math.min(Math.max(0, now - since) / 1000, IDLE_SECONDS);
  }

  function progress(total, given) {
    const judged = Object.values(given).filter((report) => report.done);
    const seconds = judged.reduce((sum, report) => sum + report.seconds, 0);
    const rate = judged.length ? `, ${(seconds / judged.length).toFixed(1)} s a report` : "";
    return `${judged.length} of ${total} judged${rate}`;
  }

  function tidyInitials(text) {
    return text.replace(/[^A-Za-z0-9_.]/g, "").slice(0, 16);
  }

  // Every sentence of each judged report, and a row for the report itself; no text.
  function toCsv(page, only, judge, reports, given) {
    const rows = [COLUMNS];
    for (const report of reports) {
      const said = given[report.scanId];
      if (!said || !said.done) continue;
      const begin = [page, only, report.scanId, report.text];
      const whole = Object.keys(said.marks).length ? "corrected" : "right";
      rows.push([...begin, "", whole, judge, said.seconds.toFixed(1)]);
      for (const s of report.sentences) {
        rows.push([...begin, s.number, final(s.decided, said.marks[s.number]), judge, ""]);
      }
    }
    return rows.map((row) => row.join(",") + "\n").join("");
  }

  return { next, choose, final, unsettled, spent, progress, tidyInitials, toCsv };
})();
if (typeof module !== "undefined") module.exports = Verdicts;
