"""The page of a challenge: it has a browser work for a moment, and then repeats the request with a cookie that says so.

Law: it loads nothing, from here or from others, and runs nothing but what stands here: its policy (CSP 3) names both by
their hashes. It says what it lacks instead of failing silently, and does not repeat a request for ever.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape

_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1f; --ground: #fff; --line: #6b6b76; --accent: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececf1; --ground: #16161a; --line: #a0a0ab; --accent: #8ab4f8; }
}
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); }
main { max-width: 34rem; margin: 15vh auto 2rem; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
progress { width: 100%; height: .75rem; accent-color: var(--accent); }
button { font: inherit; padding: .5rem 1rem; color: var(--ground); background: var(--accent); border: 0;
  border-radius: .25rem; cursor: pointer; }
button:focus-visible { outline: 3px solid var(--text); outline-offset: 2px; }
.missing { border: 2px solid var(--line); border-radius: .25rem; padding: .75rem 1rem; }
footer { margin-top: 2rem; font-size: .875rem; border-top: 1px solid var(--line); padding-top: .75rem; }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
"""

_SCRIPT = """
(function () {
  "use strict";
  // Looks for a counter with which the SHA-256 (FIPS 180-4) of "TOKEN.COUNTER" begins with as many zero bits as asked.
  // The first 64 bytes are the same in all of them, and are compressed once.
  function solver(token, bits, counter, step) {
    var text = token + ".", constants =
      "428a2f9871374491b5c0fbcfe9b5dba53956c25b59f111f1923f82a4ab1c5ed5d807aa9812835b01243185be550c7dc3" +
      "72be5d7480deb1fe9bdc06a7c19bf174e49b69c1efbe47860fc19dc6240ca1cc2de92c6f4a7484aa5cb0a9dc76f988da" +
      "983e5152a831c66db00327c8bf597fc7c6e00bf3d5a7914706ca63511429296727b70a852e1b21384d2c6dfc53380d13" +
      "650a7354766a0abb81c2c92e92722c85a2bfe8a1a81a664bc24b8b70c76c51a3d192e819d6990624f40e3585106aa070" +
      "19a4c1161e376c082748774c34b0bcb5391c0cb34ed8aa4a5b9cca4f682e6ff3748f82ee78a5636f84c878148cc70208" +
      "90befffaa4506cebbef9a3f7c67178f2",
      K = words(constants), W = new Int32Array(64), shift = 32 - bits, i,
      H = words("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19");
    function words(hex) {
      var found = new Int32Array(hex.length / 8);
      for (var n = 0; n < found.length; n++) found[n] = parseInt(hex.substr(8 * n, 8), 16);
      return found;
    }
    function put(place, byte) { W[place >> 2] |= byte << (24 - 8 * (place & 3)); }
    function compress(whole) {
      var a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7], n, x, y, s, t;
      for (n = 0; n < 64; n++) {
        if (n > 15) {
          x = W[n - 15]; y = W[n - 2];
          W[n] = W[n - 16] + W[n - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) +
            ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
        }
        s = h + K[n] + W[n] + (g ^ e & (f ^ g)) +
          ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) | 0;
        t = (a & b ^ c & (a ^ b)) + ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) | 0;
        h = g; g = f; f = e; e = d + s | 0; d = c; c = b; b = a; a = s + t | 0;
      }
      if (whole) {
        x = [a, b, c, d, e, f, g, h];
        for (n = 0; n < 8; n++) H[n] = H[n] + x[n] | 0;
      }
      return H[0] + a | 0;
    }
    for (i = 0; i < 64; i++) put(i, text.charCodeAt(i));
    compress(true);
    return function (tries) {
      for (; tries > 0; tries--, counter += step) {
        var tail = text.slice(64) + counter, length = tail.length;
        for (i = 0; i < 16; i++) W[i] = 0;
        for (i = 0; i < length; i++) put(i, tail.charCodeAt(i));
        put(length, 128);
        W[15] = 8 * (64 + length);
        if (compress(false) >>> shift === 0) return counter;
      }
      return -1;
    };
  }
  function work() {
    self.onmessage = function (event) {
      var run = solver.apply(null, event.data), found = -1;
      while (found < 0) {
        found = run(16384);
        self.postMessage(found);
      }
    };
  }

  var data = document.getElementById("challenge").dataset, status = document.getElementById("status"),
    bar = document.getElementById("bar"), again = document.getElementById("again"), hashes = 0, done = false,
    bits = +data.difficulty, workers = [], memory = "edgenode-challenge";
  function say(text, button) {
    status.textContent = text;
    again.hidden = !button;
    if (button) again.textContent = button;
  }
  function reload() { location.reload(); }
  function recently() {
    // How often this tab has solved one in the last minute: what does not help is not done for ever.
    try {
      var past = (sessionStorage.getItem(memory) || "").split(" ").filter(function (time) {
        return time && Date.now() - time < 60000;
      });
      sessionStorage.setItem(memory, past.concat(Date.now()).join(" "));
      return past.length;
    } catch (error) { return document.cookie.indexOf(data.cookie + "=") < 0 ? 0 : 3; }
  }
  function solved(counter) {
    if (done) return;
    done = true;
    workers.forEach(function (worker) { worker.terminate(); });
    bar.value = 1;
    document.documentElement.dataset.hashes = hashes;
    var value = data.token + "." + counter;
    document.cookie = data.cookie + "=" + value + "; Path=/; Secure; SameSite=Lax; Max-Age=" + data.lifetime;
    if (document.cookie.indexOf(value) < 0)
      say("Your browser does not keep cookies for this site. Please allow them, and try again.", "Try again");
    else if (data.repeat !== "yes")
      say("The check is done. What you sent has not been passed on yet: please go back and send it again.", "Go back");
    else if (recently() > 2)
      say("The check is done, but the site asks for it again and again. Your browser may not send its cookie, or " +
        "your network address or the name of your browser keeps changing.", "Try again");
    else {
      say("The check is done. The page is being loaded.");
      reload();
    }
  }
  function told(counter) {
    hashes += 16384;
    if (!done) bar.value = 1 - Math.exp(-hashes / Math.pow(2, bits));
    if (counter >= 0) solved(counter);
  }
  function here() {
    var run = solver(data.token, bits, 0, 1);
    (function slice() {
      told(run(16384));
      if (!done) setTimeout(slice, 0);
    })();
  }
  function side_by_side() {
    var source = URL.createObjectURL(new Blob([solver + ";(" + work + ")()"], { type: "text/javascript" })),
      count = Math.min(4, navigator.hardwareConcurrency || 1), failed = false;
    for (var index = 0; index < count; index++) {
      var worker = new Worker(source);
      workers.push(worker);
      worker.onmessage = function (event) { told(event.data); };
      worker.onerror = function () {
        if (!failed && !done) { failed = true; here(); }
      };
      worker.postMessage([data.token, bits, index, count]);
    }
  }
  again.onclick = data.repeat === "yes" || history.length < 2 ? reload : function () { history.back(); };
  bar.hidden = false;
  say("Your browser is being checked. This takes a moment; there is nothing to do.");
  try { side_by_side(); } catch (error) { here(); }
})();
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Checking your browser</title>
<style>%(style)s</style>
</head>
<body>
<main id="challenge" data-token="%(token)s" data-difficulty="%(difficulty)d" data-cookie="%(cookie)s" \
data-lifetime="%(lifetime)d" data-repeat="%(repeat)s">
<h1>Checking your browser</h1>
<p id="status" role="status" aria-live="polite"></p>
<noscript><p class="missing"><strong>JavaScript is switched off.</strong> This check cannot be done without it. Please \
allow JavaScript and cookies for this site, and load the page again.</p></noscript>
<p><progress id="bar" max="1" value="0" aria-label="Progress of the check" hidden></progress></p>
<p><button id="again" type="button" hidden>Try again</button></p>
<p>%(next)s</p>
<footer>Before it answers, this site has browsers do a small calculation, which keeps out programs that ask too often. \
It needs JavaScript and one cookie, which says nothing about you.%(reference)s</footer>
</main>
<script>%(script)s</script>
</body>
</html>
"""

_REPEATED = "After the check the page that you asked for is loaded by itself."
_NOT_REPEATED = (
    "What you have sent, such as a form, has not been passed on. Once the check is done you can go back and send it "
    "again."
)


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hashed(_SCRIPT)}; style-src {_hashed(_STYLE)}; worker-src blob:; "
    "child-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The Content-Security-Policy of the page."""


def page(token: str, cookie: str, difficulty: int, lifetime: int, *, repeated: bool, identifier: str = "") -> bytes:
    """The page for one request.

    :param token: what the solution is to be for.
    :param cookie: the name of the cookie of the solution.
    :param difficulty: bits of the hash that have to be 0.
    :param lifetime: seconds that the browser keeps the cookie.
    :param repeated: whether the request is repeated by itself, as one without a body can be.
    :param identifier: that of the request, for people to tell; empty for none.
    """
    values = {
        "style": _STYLE,
        "script": _SCRIPT,
        "token": escape(token),
        "cookie": escape(cookie),
        "difficulty": difficulty,
        "lifetime": lifetime,
        "repeat": "yes" if repeated else "no",
        "next": _REPEATED if repeated else _NOT_REPEATED,
        "reference": f" Reference: {escape(identifier)}" if identifier else "",
    }
    return (_PAGE % values).encode()
