"use strict";
// Arithmetic on the page's volumes; every array holds one byte a voxel, first axis fastest.

/** Cut a map by two thresholds and drop small pieces (26 neighbours), as the program does: pieces of
 *  what lies above `from` are kept where a voxel lies above `above`.
 *  Returns {mask, voxels, count}: 1 where kept, how many voxels, how many pieces. */
function cutMap(map, dims, above, from, minVoxels) {
  const [nx, ny, nz] = dims, mask = new Uint8Array(map.length);
  const state = new Uint8Array(map.length), stack = [], piece = [];
  let voxels = 0, count = 0;
  for (let i = 0; i < map.length; i++) if (map[i] > from) state[i] = 1;
  for (let seed = 0; seed < map.length; seed++) {
    if (state[seed] !== 1) continue;
    let seeded = false;
    piece.length = 0;
    stack.push(seed);
    state[seed] = 2;
    while (stack.length) {
      const at = stack.pop(), x = at % nx, y = ((at / nx) | 0) % ny, z = (at / (nx * ny)) | 0;
      piece.push(at);
      if (map[at] > above) seeded = true;
      for (let c = Math.max(0, z - 1); c <= Math.min(nz - 1, z + 1); c++)
        for (let b = Math.max(0, y - 1); b <= Math.min(ny - 1, y + 1); b++)
          for (let a = Math.max(0, x - 1); a <= Math.min(nx - 1, x + 1); a++) {
            const to = a + nx * (b + ny * c);
            if (state[to] === 1) { state[to] = 2; stack.push(to); }
          }
    }
    if (!seeded || piece.length < minVoxels) continue;
    count += 1;
    voxels += piece.length;
    for (const at of piece) mask[at] = 1;
  }
  return { mask, voxels, count };
}

/** 1 in the voxels of a region (value >= from) that have a neighbour outside it in their axial slice. */
function outlineOf(labels, dims, from) {
  const [nx, ny, nz] = dims, out = new Uint8Array(labels.length);
  let i = 0;
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++)
      for (let x = 0; x < nx; x++, i++) {
        if (labels[i] < from) continue;
        const inner = (x === 0 || labels[i - 1] >= from) && (x === nx - 1 || labels[i + 1] >= from) &&
          (y === 0 || labels[i - nx] >= from) && (y === ny - 1 || labels[i + nx] >= from);
        if (!inner) out[i] = 1;
      }
  return out;
}

/** Scan minus pseudo-healthy image around 128, inside the brain: above is brighter than expected. */
function intensityTerm(scan, healthy, brain) {
  const out = new Uint8Array(scan.length).fill(128);
  for (let i = 0; i < scan.length; i++)
    if (brain[i]) out[i] = Math.max(0, Math.min(255, 128 + Math.round((scan[i] - healthy[i]) / 2)));
  return out;
}
