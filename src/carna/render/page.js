// Play the cine: frames lie across one picture, slices down it.
(() => {
  const cine = document.querySelector(".cine");
  const frames = Number(cine.dataset.frames);
  const pause = Number(cine.dataset.frameMs);
  const views = cine.querySelectorAll(".view");
  const button = cine.querySelector("button");
  const slider = cine.querySelector("input");
  const output = cine.querySelector("output");
  let timer = 0;

  const show = (frame) => {
    slider.value = frame;
    output.textContent = `${frame + 1} / ${frames}`;
    for (const view of views) {
      view.style.backgroundPositionX = `${(100 * frame) / (frames - 1)}%`;
    }
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = button.dataset.play;
  };
  const play = () => {
    timer = setInterval(() => show((Number(slider.value) + 1) % frames), pause);
    button.textContent = button.dataset.pause;
  };
  button.addEventListener("click", () => (timer ? stop() : play()));
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  cine.querySelector(".controls").hidden = false;
})();
