/**
 * Learns the vocabulary of the postcards' captions and writes it as a diffusers `tokenizer` folder.
 * Run: npx tsx scripts/postcardsTokenizer.ts FOLDER (the model's; FOLDER/tokenizer is written)
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CAPTION_TOKENS, captionMerges } from "../src/postcards/index.js";
import { clipTokenizerFiles } from "../src/text/index.js";

const [model] = process.argv.slice(2);
if (model === undefined) throw new Error("postcardsTokenizer: name the folder of the model");
const folder = join(model, "tokenizer");
mkdirSync(folder, { recursive: true });
const files = clipTokenizerFiles(captionMerges(), CAPTION_TOKENS);
for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
console.log(`wrote ${folder}`);
