// What busboy reads of a form: a line of JSON for each line [type, body in Base64].
const busboy = require("busboy");
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [type, data] = JSON.parse(line), found = [];
  const hex = (text) => Buffer.from(text, "utf8").toString("hex");
  const answer = (pairs) => console.log(JSON.stringify(pairs));
  let done = false;
  const end = (pairs) => { if (!done) { done = true; answer(pairs); } };
  try {
    const reader = busboy({ headers: { "content-type": type }, defCharset: "latin1", defParamCharset: "utf8" });
    reader.on("field", (name, value) => found.push([hex(name), Buffer.from(value, "latin1").toString("hex")]));
    reader.on("file", (name, file) => {
      const pieces = [];
      file.on("data", (piece) => pieces.push(piece)).on("end", () => found.push([hex(name || ""), Buffer.concat(pieces).toString("hex")])).on("error", () => {});
    });
    reader.on("close", () => end(found)).on("error", () => end(found));
    reader.end(Buffer.from(data, "base64"));
  } catch (error) { end([]); }
});
