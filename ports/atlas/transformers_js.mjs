// transformers.js draws: node transformers_js.mjs SEED COUNT < logits. It is found as Node finds packages, from the
// working folder or NODE_PATH. Its sampler is not exported, so it is taken from the package's sources.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(dirname(createRequire(`${process.cwd()}/`).resolve("@huggingface/transformers")), "..");
const part = (name) => import(pathToFileURL(join(root, "src", name)));
const { LogitsSampler } = await part("generation/logits_sampler.js");
const { Tensor } = await part("utils/tensor.js");
const { random } = await part("utils/random.js");

const logits = Float32Array.from(readFileSync(0, "utf8").trim().split(/\s+/), Number);
const sampler = LogitsSampler.getSampler({ do_sample: true, top_k: 0, num_beams: 1, num_return_sequences: 1 });
random.seed(Number(process.argv[2]));
const tokens = [];
for (let i = 0; i < Number(process.argv[3]); i++)
  tokens.push(Number((await sampler(new Tensor("float32", logits, [1, logits.length])))[0][0]));
console.log(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version, tokens.join(" "));
process.exit(0); // ONNX Runtime's threads would keep it alive
