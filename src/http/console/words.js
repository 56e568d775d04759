// The words of the console, for the parts that it has in common with other pages.

import { WORDS as en } from "./words_en.js";
import { WORDS as zh } from "./words_zh.js";

export const DICTIONARY = { en, zh };
