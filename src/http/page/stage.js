// The picture behind the comments: slow light that brightens with the room, and sparks for gifts.
// It stands where a player would: the media server is another program.

import { reducedMotion } from "./dom.js";

const FRAME_MS = 1000 / 34;
const SPARKS_MAX = 200;
const DUST_COUNT = 46;
const RAYS = 90;
const PIXEL_RATIO_MAX = 1.25;
const TAU = Math.PI * 2;

export class Stage {
  #canvas;
  #context;
  #width = 0;
  #height = 0;
  #hue = 260;
  #energy = 0;
  #sparks = [];
  #dust = [];
  #lastFrame = 0;
  #running = false;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    for (let i = 0; i < DUST_COUNT; i++) {
      this.#dust.push({ x: Math.random(), y: Math.random(), r: 0.5 + Math.random() * 2.2, speed: 0.2 + Math.random() * 0.8, phase: Math.random() * TAU });
    }
    new ResizeObserver(([entry]) => this.#resize(entry.contentRect)).observe(canvas);
    document.addEventListener("visibilitychange", () => this.#wake());
  }

  start(hue) {
    this.#hue = hue;
    this.#running = true;
    this.#sparks = [];
    this.#wake();
  }

  stop() {
    this.#running = false;
  }

  /** Something happened: 0.05 for a comment, up to 1 for a grand gift. */
  excite(amount) {
    this.#energy = Math.min(1.6, this.#energy + amount);
  }

  /** Sparks from a point of the stage, in CSS pixels. */
  burst(x, y, hue, count) {
    if (reducedMotion.matches || document.hidden) return;
    for (let i = 0; i < count && this.#sparks.length < SPARKS_MAX; i++) {
      const angle = Math.random() * TAU;
      const speed = 60 + Math.random() * 330;
      this.#sparks.push({
        x, y, vx: Math.cos(angle) * speed, vy: Math.sin(angle) * speed - 80,
        age: 0, life: 0.7 + Math.random() * 0.9, size: 1.5 + Math.random() * 3.2, hue: hue + Math.random() * 40 - 20,
      });
    }
  }

  #resize({ width, height }) {
    const ratio = Math.min(PIXEL_RATIO_MAX, devicePixelRatio);
    this.#width = width;
    this.#height = height;
    this.#canvas.width = Math.max(1, Math.round(width * ratio));
    this.#canvas.height = Math.max(1, Math.round(height * ratio));
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (width > 0) this.#draw(performance.now() / 1000, 0);
  }

  #wake() {
    if (!this.#running || document.hidden || this.#lastFrame !== 0) return;
    if (reducedMotion.matches) return this.#draw(8, 0);
    this.#lastFrame = performance.now();
    const loop = (now) => {
      if (!this.#running || document.hidden) {
        this.#lastFrame = 0;
        return;
      }
      const elapsed = now - this.#lastFrame;
      if (elapsed >= FRAME_MS) {
        this.#lastFrame = now;
        this.#draw(now / 1000, Math.min(0.1, elapsed / 1000));
      }
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  #draw(time, elapsed) {
    const context = this.#context;
    this.#energy = Math.max(0, this.#energy - elapsed * 0.35);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = `hsl(${this.#hue} 48% 8%)`;
    context.fillRect(0, 0, this.#width, this.#height);
    context.globalCompositeOperation = "lighter";
    this.#drawLight(time);
    this.#drawRibbons(time);
    this.#drawRing(time);
    this.#drawDust(time);
    this.#drawSparks(elapsed);
  }

  #drawLight(time) {
    const reach = Math.max(this.#width, this.#height);
    const glow = 0.26 + this.#energy * 0.13;
    for (let i = 0; i < 4; i++) {
      const x = this.#width * (0.5 + 0.42 * Math.sin(time * (0.11 + i * 0.03) + i * 1.9));
      const y = this.#height * (0.46 + 0.4 * Math.cos(time * (0.13 + i * 0.025) + i * 2.6));
      const radius = reach * (0.36 + 0.08 * Math.sin(time * 0.3 + i));
      this.#disc(x, y, radius, this.#hue + i * 42 - 50, 78, 46, glow);
    }
  }

  #disc(x, y, radius, hue, saturation, lightness, alpha) {
    const light = this.#context.createRadialGradient(x, y, 0, x, y, radius);
    light.addColorStop(0, `hsl(${hue} ${saturation}% ${lightness}% / ${alpha})`);
    light.addColorStop(1, `hsl(${hue} ${saturation}% ${lightness}% / 0)`);
    this.#context.fillStyle = light;
    this.#context.fillRect(x - radius, y - radius, radius * 2, radius * 2);
  }

  #drawRibbons(time) {
    const context = this.#context;
    const step = Math.max(10, this.#width / 70);
    const swing = this.#height * (0.035 + this.#energy * 0.07);
    for (let ribbon = 0; ribbon < 5; ribbon++) {
      context.beginPath();
      for (let x = -step; x <= this.#width + step; x += step) {
        const part = x / this.#width;
        const wave = Math.sin(part * 6 + time * (0.7 + ribbon * 0.13) + ribbon) + 0.55 * Math.sin(part * 13 - time * 1.1 + ribbon * 2);
        const y = this.#height * (0.6 + ribbon * 0.035) + wave * swing * (0.6 + ribbon * 0.22) * Math.sin(Math.PI * part);
        if (x < 0) context.moveTo(x, y);
        else context.lineTo(x, y);
      }
      context.strokeStyle = `hsl(${this.#hue + ribbon * 24 - 30} 95% 72% / ${0.2 + this.#energy * 0.12})`;
      context.lineWidth = 1.6;
      context.stroke();
    }
  }

  /** A ring of rays around the streamer's picture, as a player of sound would show. */
  #drawRing(time) {
    const context = this.#context;
    const [x, y] = [this.#width / 2, this.#height * 0.46];
    const inner = Math.min(120, Math.max(72, Math.min(innerWidth, innerHeight) * 0.13)) / 2 + 14;
    context.lineWidth = 2.5;
    context.lineCap = "round";
    for (let ray = 0; ray < RAYS; ray++) {
      const angle = (ray / RAYS) * TAU;
      const beat = Math.abs(Math.sin(angle * 3 + time * 1.7) * Math.sin(angle * 5 - time * 2.3) + 0.4 * Math.sin(angle * 11 + time * 3.1));
      const length = 3 + beat * inner * (0.3 + this.#energy * 0.6);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      context.strokeStyle = `hsl(${this.#hue + 70 * Math.sin(angle + time * 0.4)} 95% 70% / .55)`;
      context.beginPath();
      context.moveTo(x + cos * inner, y + sin * inner);
      context.lineTo(x + cos * (inner + length), y + sin * (inner + length));
      context.stroke();
    }
  }

  #drawDust(time) {
    const context = this.#context;
    for (const mote of this.#dust) {
      const x = ((mote.x + Math.sin(time * 0.1 + mote.phase) * 0.03 + 1) % 1) * this.#width;
      const y = (((mote.y - time * 0.012 * mote.speed) % 1) + 1) % 1 * this.#height;
      context.fillStyle = `hsl(${this.#hue + 30} 90% 86% / ${0.18 + 0.3 * Math.abs(Math.sin(time * mote.speed + mote.phase))})`;
      context.beginPath();
      context.arc(x, y, mote.r, 0, TAU);
      context.fill();
    }
  }

  #drawSparks(elapsed) {
    const context = this.#context;
    this.#sparks = this.#sparks.filter((spark) => spark.age < spark.life);
    for (const spark of this.#sparks) {
      spark.age += elapsed;
      spark.vy += 420 * elapsed;
      spark.x += spark.vx * elapsed;
      spark.y += spark.vy * elapsed;
      const left = Math.max(0, 1 - spark.age / spark.life);
      context.fillStyle = `hsl(${spark.hue} 100% 68% / ${left})`;
      context.beginPath();
      context.arc(spark.x, spark.y, spark.size * (0.4 + left * 0.6), 0, TAU);
      context.fill();
    }
  }
}
