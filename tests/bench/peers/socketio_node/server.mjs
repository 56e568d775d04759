// A live room on socket.io: join, comment to everybody in the room, an answer to the sender.
// Nothing is checked and nothing is kept. PORT says where to listen, on loopback.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const EPOCH = 'benchbenchbenchbench';
const FIRST_ID = 1_000_000_000_000_000_000n;
let offset = 0;

// The fields of liveroom's event, so that every server builds the same JSON.
function commentEvent(member, liveId, text) {
  offset += 1;
  const user = { id: member, name: `lab-user-${String(member).padStart(5, '0')}`, avatar: '' };
  const id = String(FIRST_ID + BigInt(offset));
  return { user, content: text, id, at: Date.now(), live_id: liveId, epoch: EPOCH, offset };
}

const http = createServer();
const io = new Server(http, { serveClient: false, allowEIO3: true });
io.on('connection', (socket) => {
  socket.on('joinLive', ({ live_id: liveId, member }) => {
    socket.data.member = member;
    socket.join(`live/${liveId}`);
  });
  socket.on('comment', ({ live_id: liveId, text }, answer) => {
    io.to(`live/${liveId}`).emit('comment', commentEvent(socket.data.member, liveId, text));
    answer({ ok: true, comment_id: String(FIRST_ID), offset });
  });
});
http.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
