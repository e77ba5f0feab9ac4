// A js-libp2p node that does what standard input says and tells on standard output what happens,
// both as lines of JSON.
//
//   node --import ./polyfill.mjs --experimental-websocket peer.mjs CHAIN TOPIC MESSAGE_TYPE
//
// Commands: {"dial": multiaddr}, {"publish": text}, {"ping": multiaddr}.
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { fieldsOf, message, open, seal } from './envelope.mjs'

const [chain, topic, type] = process.argv.slice(2)
const wireTopic = `/tmnode/${chain}/${topic}`
const tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }))

const key = await generateKeyPair('Ed25519')
const node = await createLibp2p({
  privateKey: key,
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'] },
  transports: [tcp(), webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, globalSignaturePolicy: 'StrictSign' })
  }
})
const { pubsub } = node.services

node.addEventListener('peer:connect', ({ detail }) => tell('connect', { peer: detail.toString() }))
node.addEventListener('peer:disconnect', ({ detail }) => tell('disconnect', { peer: detail.toString() }))
node.addEventListener('peer:identify', ({ detail }) => tell('identify', {
  peer: detail.peerId.toString(),
  agent: detail.agentVersion,
  protocols: detail.protocols,
  addresses: detail.listenAddrs.map(String)
}))
pubsub.addEventListener('subscription-change', ({ detail }) => {
  for (const one of detail.subscriptions) {
    if (one.topic === wireTopic && one.subscribe) tell('subscriber', { peer: detail.peerId.toString() })
  }
})
pubsub.addEventListener('message', async ({ detail }) => {
  const opened = await open(detail.data, chain, topic)
  tell('message', {
    from: detail.from?.toString(),
    kind: detail.type,
    sealed: opened !== null,
    fields: opened && fieldsOf(opened.body)
  })
})
pubsub.subscribe(wireTopic)

const commands = {
  async dial (address) {
    const connection = await node.dial(multiaddr(address))
    tell('dialled', { peer: connection.remotePeer.toString(), through: connection.remoteAddr.toString() })
  },
  async ping (address) {
    tell('ping', { ms: await node.services.ping.ping(multiaddr(address)) })
  },
  async publish (text) {
    const body = message(Number(type), 1, [text])
    const envelope = await seal(key, chain, topic, body)
    // A subscriber is heard of before the stream to it is open.
    while ((await pubsub.publish(wireTopic, envelope)).recipients.length === 0) await setTimeout(50)
    tell('published', {})
  }
}

tell('listening', { peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) })
for await (const line of createInterface({ input: process.stdin })) {
  for (const [name, argument] of Object.entries(JSON.parse(line))) {
    try {
      await commands[name](argument)
    } catch (error) {
      tell('failed', { command: name, why: String(error.stack ?? error) })
    }
  }
}
await node.stop()
process.exit(0)
