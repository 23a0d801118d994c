// The search runs in a worker, which browsers refuse to pages that are opened from the disk. There a
// hidden frame of the page runs the same script in its place, without a network.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.onmessage = this.onerror = this.onmessageerror = null
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = data => setTimeout(() => this.onmessage?.({ data: structuredClone(data) }))
      const script = inside.document.createElement("script")
      script.src = new URL(url, location)
      script.onload = () => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(data => this.postMessage(data))
      }
      script.onerror = event => this.onerror?.(event)
      inside.document.body.append(script)
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.frame.contentWindow.onmessage({ data: this.frame.contentWindow.structuredClone(data) })
    }

    terminate() {
      this.frame.remove()
    }
  }
}
