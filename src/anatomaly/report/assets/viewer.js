"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const page = JSON.parse(at("page-data").textContent);
  document.documentElement.classList.add("js");

  const more = at("all-rows");
  if (more) {
    more.hidden = false;
    more.onclick = () => { document.querySelector(".lesions").classList.add("all"); more.hidden = true; };
  }
  if (!at("viewer")) return;

  const ramp = (name, R, G, B, A) => niivue.cmapper.addColormap(name, { R, G, B, A, I: R.map((_, n) => Math.round(255 * n / (R.length - 1))) });
  const outlines = {
    mask: [53, 224, 255], brain: [255, 196, 64], template: [255, 92, 122],
  };
  const looks = {
    scan: ["gray", 0, 255], pseudo_healthy: ["gray", 0, 255], edges: ["gray", 0, 1],
    intensity: ["page-signed", 64, 192], structure: ["inferno", 0, 252],
    anomaly_map: ["inferno", 0, 255], tissue_map: ["page-tissue", 0, 3],
  };
  const below = Math.floor(page.threshold / page.map_step + 1e-6);
  const volumes = {}, shown = {};
  let viewers = [], spotShown = -1, byHand = false;

  async function load() {
    ramp("page-signed", [40, 90, 12, 255, 255], [140, 60, 14, 120, 230], [255, 160, 18, 30, 120], [255, 255, 255, 255, 255]);
    ramp("page-tissue", [0, 60, 150, 240], [0, 120, 150, 240], [0, 190, 150, 235], [0, 255, 255, 255]);
    for (const [name, [r, g, b]] of Object.entries(outlines)) ramp(`page-${name}`, [r, r], [g, g], [b, b], [0, 255]);
    for (const element of document.querySelectorAll('script[id^="layer-"]')) {
      const name = element.id.slice(6);
      volumes[name] = await niivue.NVImage.loadFromBase64({ base64: element.textContent, name: `${name}.nii.gz` });
    }
    if (volumes.scan && volumes.pseudo_healthy) {
      const { scan, pseudo_healthy: healthy, brain_mask: brain } = volumes;
      for (let i = 0; i < scan.img.length; i++) if (!brain.img[i]) healthy.img[i] = scan.img[i];
      volumes.intensity = withVoxels(scan, intensityTerm(scan.img, healthy.img, brain.img));
    }
    shown.brain = outlineOf(volumes.brain_mask.img, dims(), 1);
    if (volumes.template) shown.template = outlineOf(volumes.template.img, dims(), 1);
    const whiteMatter = volumes.template && outlineOf(volumes.template.img, dims(), 3);
    if (whiteMatter) for (let i = 0; i < whiteMatter.length; i++) shown.template[i] |= whiteMatter[i];
  }

  const dims = () => volumes.brain_mask.hdr.dims.slice(1, 4);
  let copies = 0;
  function withVoxels(image, voxels) {
    const copy = Object.assign(Object.create(Object.getPrototypeOf(image)), image);
    return Object.assign(copy, { img: voxels, id: `page-${copies++}` });
  }

  async function open(side) {
    const viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.95, 0.95, 0.95, 0.75], crosshairWidth: 0.7,
      crosshairGap: 6, show3Dcrosshair: false, isRadiologicalConvention: false,
      multiplanarShowRender: 0, multiplanarLayout: 0, isCornerOrientationText: true,
      dragAndDropEnabled: false, loadingText: "", logLevel: "silent", fontMinPx: 11,
    });
    await viewer.attachToCanvas(at(`canvas-${side}`));
    viewer.side = side;
    viewer.onLocationChange = tell.bind(viewer);
    return viewer;
  }

  function picture(name) {
    const [colours, low, high] = looks[name];
    const image = withVoxels(volumes[name], volumes[name].img);
    return dress(image, colours, low, high, 1);
  }
  function overlay(voxels, colours, low, high, opacity) {
    return dress(withVoxels(volumes.brain_mask, voxels), colours, low, high, opacity);
  }
  function dress(image, colours, low, high, opacity) {
    image.colormap = colours;
    image.cal_min = low;
    image.cal_max = high;
    image.opacity = opacity;
    return image;
  }

  /** The mask that a person corrected, until somebody moves the threshold. */
  function showHandMask() {
    const mask = volumes.hand_mask.img;
    shown.mask = outlineOf(mask, dims(), 1);
    shown.colour = mask.map((inside, i) => inside ? Math.max(1, volumes.anomaly_map.img[i]) : 0);
    at("threshold-value").textContent = "by hand";
    if (at("healthy")) at("healthy").textContent = sayFalseFindings(page.healthy, page.threshold);
    tellVolume(page.volume_ml, page.spots.length);
    at("reset").hidden = true;
  }

  function tellVolume(ml, count) {
    at("live-volume").textContent = sayMl(ml);
    at("live-volume").dataset.ml = ml;
    at("live-count").textContent = `in ${count} place${count === 1 ? "" : "s"}`;
  }

  function cut() {
    if (byHand) return showHandMask();
    const above = Number(at("threshold").value), from = Math.floor(page.grow_share * above + 1e-6);
    const found = cutMap(volumes.anomaly_map.img, dims(), above, from, page.min_mm3 / page.voxel_mm3 - 1e-6);
    const isOwn = above === below && !volumes.hand_mask;
    const ml = isOwn && !page.is_exact ? page.volume_ml : found.voxels * page.voxel_mm3 / 1000;
    shown.mask = outlineOf(found.mask, dims(), 1);
    shown.colour = found.mask.map((inside, i) => inside ? volumes.anomaly_map.img[i] : 0);
    const threshold = isOwn ? page.threshold : above * page.map_step;
    at("threshold-value").textContent = threshold.toPrecision(3);
    if (at("healthy")) at("healthy").textContent = sayFalseFindings(page.healthy, threshold);
    tellVolume(ml, found.count);
    at("reset").hidden = isOwn && !volumes.hand_mask;
  }

  // The axial slice large, the two others beside it: most lesions are judged in the axial slice.
  const threePlanes = [
    { sliceType: 0, position: [0, 0, 0.58, 1] },
    { sliceType: 1, position: [0.58, 0, 0.42, 0.5] },
    { sliceType: 2, position: [0.58, 0.5, 0.42, 0.5] },
  ];
  function setView() {
    const view = Number(at("view").value);
    for (const viewer of viewers) {
      if (view === 3) viewer.setCustomLayout(threePlanes);
      else viewer.clearCustomLayout();
      viewer.setSliceType(view);
    }
  }

  const isOn = (id) => at(id) && at(id).checked;
  function draw() {
    for (const viewer of viewers) {
      const name = at(viewer.side).value, stack = [picture(name)];
      if (shown.colour && viewer.side === "left") {
        const opacity = Number(at("opacity").value) / 100;
        at("opacity-value").textContent = `${at("opacity").value} %`;
        if (opacity) stack.push(overlay(shown.colour, "warm", 1, 255, opacity));
      }
      for (const [outline] of Object.entries(outlines))
        if (isOn(`show-${outline}`)) stack.push(overlay(shown[outline], `page-${outline}`, 0, 1, 0.9));
      Object.assign(viewer, { volumes: stack, back: stack[0], overlays: stack.slice(1) });
      viewer.updateGLVolume();
      at(`caption-${viewer.side}`).textContent = at(viewer.side).selectedOptions[0].textContent;
    }
  }

  let waiting = 0;
  function later(...work) {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => work.forEach((step) => step()));
  }

  function tell(where) {
    const mm = Array.from(this.frac2mm(where.frac, 0, true)).slice(0, 3);
    const words = [`scanner x ${mm[0].toFixed(1)}, y ${mm[1].toFixed(1)}, z ${mm[2].toFixed(1)} mm`];
    const voxel = volumes.brain_mask.mm2vox(mm), size = dims();
    const index = voxel[0] + size[0] * (voxel[1] + size[1] * voxel[2]);
    if (volumes.anomaly_map) words.push(`score ${(volumes.anomaly_map.img[index] * page.map_step).toFixed(2)}`);
    if (volumes.tissue_map) words.push(["background", "CSF", "grey matter", "white matter"][volumes.tissue_map.img[index]]);
    at("where").textContent = words.filter(Boolean).join(" · ");
    at("where").dataset.mm = mm.map((value) => value.toFixed(2)).join(",");
  }

  function moveTo(mm) {
    for (const viewer of viewers) {
      viewer.scene.crosshairPos = viewer.mm2frac(mm, 0, true);
      viewer.createOnLocationChange();
      viewer.drawScene();
    }
  }
  function goTo(number, scroll) {
    spotShown = number;
    for (const button of document.querySelectorAll(".finding"))
      button.classList.toggle("here", Number(button.dataset.finding) === spotShown);
    moveTo(page.spots[number]);
    if (scroll) at("viewer").scrollIntoView({ block: "start", behavior: "smooth" });
  }

  async function start() {
    at("viewer").hidden = false;
    viewers = [await open("left"), await open("right")];
    await load();
    if (volumes.anomaly_map) {
      at("threshold").value = below;
      byHand = Boolean(volumes.hand_mask);
      cut();
    }
    draw();
    viewers[0].broadcastTo([viewers[1]], { "2d": true, "3d": false });
    viewers[1].broadcastTo([viewers[0]], { "2d": true, "3d": false });
    setView();
    if (page.spots.length) goTo(0, false);
    for (const id of ["left", "right", "show-mask", "show-brain", "show-template"])
      if (at(id)) at(id).onchange = () => later(draw);
    at("view").onchange = setView;
    if (volumes.anomaly_map) {
      at("threshold").oninput = () => { byHand = false; later(cut, draw); };
      at("opacity").oninput = () => later(draw);
      at("reset").onclick = () => {
        at("threshold").value = below;
        byHand = Boolean(volumes.hand_mask);
        later(cut, draw);
      };
    }
    for (const button of document.querySelectorAll(".finding"))
      button.onclick = () => goTo(Number(button.dataset.finding), true);
    document.documentElement.classList.add("ready");
  }

  start().catch((error) => {
    at("viewer").hidden = true;
    at("viewer-error").hidden = false;
    at("viewer-error").textContent = `The viewer could not start (${error.message || error}); it needs WebGL 2. The pictures below need nothing.`;
    document.documentElement.classList.add("failed");
  });
})();
