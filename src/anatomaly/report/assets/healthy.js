"use strict";
// What a healthy brain shows by mistake, as report/answer.py says it.

/** A volume in words, so exact that no piece becomes 0.0 mL. */
function sayMl(ml) {
  return `${ml.toFixed(ml > 0 && ml < 0.095 ? 2 : 1)} mL`;
}

/** Value of a curve at x, linear between its points, that of the last one beyond it. */
function curveAt(x, xs, ys) {
  let after = 0;
  while (after < xs.length && xs[after] < x) after += 1;
  if (after === 0) return ys[0];
  if (after === xs.length) return ys[xs.length - 1];
  const share = (x - xs[after - 1]) / (xs[after] - xs[after - 1]);
  return ys[after - 1] + share * (ys[after] - ys[after - 1]);
}

/** The sentence beside the slider; `healthy` holds threshold, half and most, in mL. */
function sayFalseFindings(healthy, threshold) {
  if (threshold < healthy.threshold[0]) return "How much healthy brains show at so low a threshold was not measured.";
  const upTo = (ml) => ml < 0.005 ? "" : `up to ${sayMl(ml)}`;
  const half = upTo(curveAt(threshold, healthy.threshold, healthy.half));
  const most = upTo(curveAt(threshold, healthy.threshold, healthy.most));
  return `At this threshold half of healthy brains show ${half ? `${half} of` : "no"} false findings, 19 of 20 ${most || "none"}.`;
}
