// Where it begins. Sections below the first screen are drawn one after the other, so that the page answers meanwhile.
const DATA = JSON.parse(byId("report-data").textContent);

byId("colophon").textContent = `${DATA.sizes}. This page is complete in itself: it loads nothing and sends nothing.`;
for (const draw of [drawOverview, drawTables, drawStrength, drawErrors, drawGallery, drawData, drawTraining, drawCost]) draw();
window.addEventListener("hashchange", follow);
follow();
document.documentElement.dataset.ready = performance.now().toFixed(0);
