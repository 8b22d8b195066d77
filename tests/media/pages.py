"""What a page of a real browser runs: it sends a moving picture in two layers, and plays one."""

from __future__ import annotations

# A picture that moves everywhere, as web/src/media/devices.ts sends it, and a tone.
PUBLISH = """async () => {
  window.sends = new RTCPeerConnection();
  const canvas = document.createElement('canvas');
  canvas.width = 640; canvas.height = 360;
  const pen = canvas.getContext('2d');
  let number = 0;
  setInterval(() => {
    for (let x = 0; x < 16; x += 1) {
      pen.fillStyle = `hsl(${(number * 7 + x * 40) % 360} 80% 50%)`;
      pen.fillRect(x * 40, 0, 40, 360);
    }
    number += 1;
  }, 50);
  const [picture] = canvas.captureStream(20).getVideoTracks();
  sends.addTransceiver(picture, {direction: 'sendonly', sendEncodings: [
    {rid: 'h', maxBitrate: 1200000}, {rid: 'l', maxBitrate: 150000, scaleResolutionDownBy: 2, maxFramerate: 15}]});
  await sends.setLocalDescription(await sends.createOffer());
  return sends.localDescription.sdp;
}"""
PLAY = """async () => {
  window.sees = new RTCPeerConnection();
  sees.addTransceiver('video', {direction: 'recvonly'});
  sees.ontrack = (event) => {
    const video = document.createElement('video');
    video.muted = true; video.autoplay = true; video.srcObject = new MediaStream([event.track]);
    document.body.append(video);
    window.video = video;
  };
  // The longest time without a new frame since `decoded` was last set to nothing.
  window.longest = 0;
  let decoded = 0, since = performance.now();
  setInterval(async () => {
    const row = [...(await sees.getStats()).values()].find((one) => one.type === 'inbound-rtp') ?? {};
    if ((row.framesDecoded ?? 0) !== decoded) { decoded = row.framesDecoded; since = performance.now(); }
    else if (decoded > 0) window.longest = Math.max(window.longest, performance.now() - since);
  }, 40);
  await sees.setLocalDescription(await sees.createOffer());
  return sees.localDescription.sdp;
}"""
ACCEPT = """async ([name, sdp]) => { await window[name].setRemoteDescription({type: 'answer', sdp}); }"""
