// A button that decides takes no click in the moment in which it comes before somebody's pointer: the click may have
// been meant for what was there before. A page comes with this begun, so that none is taken before the scripts are there.

function settle() {
  document.body.classList.add("settling");
  setTimeout(() => document.body.classList.remove("settling"), 500);
}
settle();
addEventListener("focus", settle);
document.addEventListener("visibilitychange", settle);
